import { runtimeLaws } from "@pare/testing";
import { describe, test } from "vitest";
import { tfjs } from "./index.node.ts";

describe.each(["cpu", "wasm"])("%s", (backend) => {
  for (const law of runtimeLaws(tfjs({ backend }))) test.skipIf(law.skipped !== undefined)(law.name, law.run, 20_000);
});
