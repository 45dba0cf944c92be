import { isFloat, isPareError, type ResidentTensor } from "@pare/core";
import { graphCases, type ModelCase, modelOfCase, operatorCases } from "@pare/ops/cases";
import { numbersOf } from "@pare/ops/numeric";
import { describe, expect, test } from "vitest";
import { tfjs } from "./index.node.ts";

function isClose(got: ResidentTensor, expected: ResidentTensor): boolean {
  if (got.dtype !== expected.dtype || String(got.shape) !== String(expected.shape)) return false;
  const tolerance = isFloat(got.dtype) ? 2e-5 : 0;
  const numbers = numbersOf(got);
  return numbersOf(expected).every(
    (e, i) => Object.is(e, numbers[i]) || Math.abs(e - numbers[i]!) <= tolerance * (1 + Math.abs(e)),
  );
}

/** What is answered to a case: `same`, `differs`, or the code with which it is refused. */
async function answer(backend: string, { model, inputs, outputs }: ModelCase): Promise<string> {
  try {
    const session = await tfjs({ backend }).prepare(model);
    const got = await session.run(inputs).finally(() => session.close());
    return Object.entries(outputs).every(([name, expected]) => isClose(got[name]!, expected)) ? "same" : "differs";
  } catch (error) {
    if (isPareError(error)) return error.code;
    throw error;
  }
}

describe.each(["cpu", "wasm"])("%s", (backend) => {
  test("agrees with the cases of operators, and says which it lacks", async () => {
    const found = new Map<string, string[]>();
    for (const c of [...operatorCases.map(modelOfCase), ...graphCases]) {
      const said = await answer(backend, c);
      found.set(said, [...(found.get(said) ?? []), c.name.split(" ")[0]!]);
    }
    expect(found.get("differs")).toBeUndefined();
    expect([...found.keys()].sort()).toEqual(["same", "tfjs/operator"]);
    expect(found.get("same")!.length).toBeGreaterThan(270);
    expect(found.get("tfjs/operator")).toMatchInlineSnapshot(`
      [
        "BitCast",
        "TfIdfVectorizer",
        "Det",
        "DeformConv",
        "MaxUnpool",
        "GridSample",
        "RoiAlign",
        "Col2Im",
        "MaxRoiPool",
        "DFT",
        "STFT",
        "MelWeightMatrix",
        "SequenceConstruct",
        "SequenceEmpty",
        "SplitToSequence",
        "SequenceMap",
        "Optional",
      ]
    `);
  }, 60_000);
});
