import { runtimeLaws } from "@pare/testing";
import { describe, test } from "vitest";
import { litert } from "./index.node.ts";

describe.each([true, false])("isolate: %s", (isolate) => {
  for (const law of runtimeLaws(litert({ isolate }))) test.skipIf(law.skipped !== undefined)(law.name, law.run, 20_000);
});
