import { type PassLawOptions, passLaws } from "@pare/testing";
import { describe, test } from "vitest";
import * as passes from "./index.ts";

const { optimize, ...factories } = passes;

const special: Readonly<Record<string, PassLawOptions>> = {
  "inline-functions": {
    skip: {
      "leaves operators alone that it does not know": "calls of functions are what it is for",
      "keeps subgraphs and functions": "functions are what it takes out",
    },
  },
  decompose: { options: { ops: ["Gelu", "LayerNormalization"] } },
  "fix-shapes": { options: {}, skip: { "refuses options it does not know": "its options are names of the model" } },
};

const subjects = [
  ...Object.values(factories).map(
    (f) => [f.passName, passLaws(f, { idempotent: true, ...special[f.passName] })] as const,
  ),
  [
    "optimize",
    passLaws(optimize(), {
      idempotent: true,
      skip: { "accounts for every candidate": "its later rounds report nodes that earlier ones made" },
    }),
  ] as const,
];

describe.each(subjects)("%s", (_, laws) => {
  for (const law of laws) test.skipIf(law.skipped !== undefined)(law.name, { timeout: 60_000 }, law.run);
});
