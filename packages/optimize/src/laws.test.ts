import { passLaws } from "@pare/testing";
import { describe, test } from "vitest";
import { foldConstants, fuseAffine, removeDeadCode, removeIdentity } from "./index.ts";

for (const factory of [foldConstants, fuseAffine, removeDeadCode, removeIdentity])
  describe(factory.passName, () => {
    for (const law of passLaws(factory, { idempotent: true }))
      test.skipIf(law.skipped !== undefined)(law.name, { timeout: 60_000 }, law.run);
  });
