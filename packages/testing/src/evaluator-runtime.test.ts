import { describe, test } from "vitest";
import { evaluatorRuntime } from "./evaluator-runtime.ts";
import { runtimeLaws } from "./runtime-laws.ts";

describe("the evaluator as a runtime", () => {
  for (const law of runtimeLaws(evaluatorRuntime)) test.skipIf(law.skipped !== undefined)(law.name, law.run);
});
