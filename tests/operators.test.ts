import { isFloat, isPareError, type ResidentTensor } from "@pare/core";
import { graphCases, type ModelCase, modelOfCase, operatorCases } from "@pare/ops/cases";
import { numbersOf } from "@pare/ops/numeric";
import { ort } from "@pare/runtime-ort";
import { expect, test } from "vitest";

/** What ONNX Runtime answers to a case: `same`, `differs`, or `refused` where it has no kernel. */
async function opinion({ model, inputs, outputs }: ModelCase): Promise<string> {
  try {
    const session = await runtime.prepare(model);
    const got = await session.run(inputs).finally(() => session.close());
    return Object.entries(outputs).every(([name, expected]) => isClose(got[name]!, expected)) ? "same" : "differs";
  } catch (error) {
    if (isPareError(error)) return "refused";
    throw error;
  }
}
const runtime = ort({ isolate: false, threads: 1, graphOptimization: "disabled" });

function isClose(got: ResidentTensor, expected: ResidentTensor): boolean {
  if (got.dtype !== expected.dtype || String(got.shape) !== String(expected.shape)) return false;
  const tolerance = isFloat(got.dtype) ? 1e-4 : 0;
  const numbers = numbersOf(got);
  return numbersOf(expected).every(
    (e, i) => Object.is(e, numbers[i]) || Math.abs(e - numbers[i]!) <= tolerance * (1 + Math.abs(e)),
  );
}

test("ONNX Runtime agrees with the cases of operators, as far as it has them", async () => {
  const cases = [...operatorCases.map(modelOfCase), ...graphCases];
  const answers = new Map<string, string[]>();
  for (const c of cases) {
    const answer = await opinion(c);
    answers.set(answer, [...(answers.get(answer) ?? []), c.name]);
  }
  expect(answers.get("differs")).toBeUndefined();
  expect(answers.get("refused")).toEqual([
    "Resize mode=cubic", // of one axis
    "LinearAttention q_num_heads=1 kv_num_heads=1 update_rule=linear",
    "CausalConvWithState activation=silu",
  ]);
});
