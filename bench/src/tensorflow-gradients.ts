/** Gradients of operators by TensorFlow.js, against those of the rules in float64. */
import { isPareError } from "@pare/core";
import { evaluate } from "@pare/ops/evaluate";
import { numbersOf } from "@pare/ops/numeric";
import type { TfjsRuntime } from "@pare/runtime-tfjs";
import { type GradientCheck, modelIn, valuesIn } from "@pare/train/check";
import type { OperatorCheck } from "@pare/train/check-cases";

/**
 * The largest difference of the gradients, relative to the largest element of each; why there is none where TensorFlow.js
 * lacks the operator or a gradient of what it is said in.
 */
export async function tensorflowDifference(
  runtime: TfjsRuntime,
  { model, inputs }: OperatorCheck,
  { model: graded, gradients, factors }: GradientCheck,
  signal: AbortSignal,
): Promise<number | string> {
  const names = [...gradients.keys()];
  const ours = await evaluate(graded, await valuesIn("float64", inputs, signal), {
    outputs: [...gradients.values()],
    signal,
  });
  try {
    const session = await runtime.prepare(await modelIn("float32", model, signal), { signal });
    const upstream = await valuesIn("float32", factors, signal);
    const given = await valuesIn("float32", inputs, signal);
    const theirs = await session.gradients(given, { upstream, by: names, signal }).finally(() => session.close());
    return Math.max(
      0,
      ...names.map((name) => {
        const [a, b] = [numbersOf(ours[gradients.get(name)!]!), numbersOf(theirs[name]!)];
        const largest = a.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-6);
        return a.reduce((worst, v, k) => Math.max(worst, Math.abs(v - b[k]!) / largest), 0);
      }),
    );
  } catch (error) {
    if (isPareError(error)) return error.diagnostics[0]!.message.split("\n")[0]!;
    throw error;
  }
}
