import { type DType, isFloat, isPareError, type ResidentTensor } from "@pare/core";
import { openOnnx } from "@pare/onnx";
import { type AnyValue, evaluateValues } from "@pare/ops/evaluate";
import { numbersOf } from "@pare/ops/numeric";
import { isTensor } from "../answers.ts";
import type { BenchCase, Benchmark } from "../benchmark.ts";
import { type NodeTest, readNodeTests, recordedRun } from "../node-tests.ts";

/**
 * Tests recorded by numpy's single-precision FFT: where the definition gives 0 they hold what sums of numbers up to 100
 * leave in float32, 1.9e-7, which is outside of the test's own tolerance of the exact result.
 */
export const NOISY = new Set(["test_dft_inverse", "test_dft_inverse_opset19"]);
export const NOISE = 1e-6;

/** Refusals that say nothing wrong: an operator that is not evaluated, or that of an old opset which has no successor. */
export const NO_ANSWER = new Set(["ops/no-rule", "onnx/no-adapter"]);

/** What is not the recorded output, in a sentence; undefined where all are. Integers are exact. */
async function wrongIn(test: NodeTest, signal: AbortSignal, atol = 1e-7): Promise<string | undefined> {
  const { inputs, outputs } = await recordedRun(test);
  const { model } = await openOnnx(test.model);
  const got = await evaluateValues(model, inputs, { signal });
  for (const [name, recorded] of outputs) {
    const wrong = difference(got.get(name)!, recorded, atol);
    if (wrong) return `${name}: ${wrong}`;
  }
  return undefined;
}

/** What is not the same in a value and the recorded one, whose floats may differ by atol + 1e-3 of them. */
export function difference(got: AnyValue, recorded: AnyValue, atol: number): string | undefined {
  if (isTensor(got) && isTensor(recorded)) {
    const [a, b] = [got, recorded].map(({ dtype, shape }) => `${dtype} [${shape}]`);
    if (a !== b) return `${a} in the place of ${b}`;
    return isFloat(got.dtype) ? farthest(got, recorded, atol) : bytesDiffer(got, recorded);
  }
  if (Array.isArray(got) && Array.isArray(recorded)) {
    if (got.length !== recorded.length) return `${got.length} elements in the place of ${recorded.length}`;
    return got.map((v, i) => difference(v, recorded[i], atol)).find((d) => d !== undefined);
  }
  return got === recorded ? undefined : "a value of another kind";
}

const bytesDiffer = (got: ResidentTensor<DType>, recorded: ResidentTensor<DType>) =>
  Buffer.compare(got.bytes, recorded.bytes) === 0 ? undefined : "integers differ";

/** The first number farther than atol + 1e-3 · |recorded| from the recorded one. NaN is NaN, and infinities are equal. */
function farthest(got: ResidentTensor, recorded: ResidentTensor, atol: number): string | undefined {
  const [g, r] = [numbersOf(got), numbersOf(recorded)];
  const at = g.findIndex(
    (v, i) => !(Object.is(v, r[i]) || v === r[i] || Math.abs(v - r[i]!) <= atol + 1e-3 * Math.abs(r[i]!)),
  );
  return at < 0 ? undefined : `${g[at]} in the place of ${r[at]} at ${at}`;
}

export const evaluateNodeTests: Benchmark = {
  name: "evaluate",
  about: "ONNX node tests in the evaluator, against their recorded outputs",
  async run(ctx) {
    const tests = readNodeTests(ctx);
    const figures = { total: tests.length, right: 0, wrong: 0, missing: 0 };
    const cases: BenchCase[] = [];
    for (const [i, test] of tests.entries()) {
      ctx.signal.throwIfAborted();
      if (i % 100 === 0) ctx.progress(`${i} of ${tests.length} models`);
      const note = (what: "wrong" | "missing", why: string) => {
        figures[what]++;
        cases.push({ name: test.name, what, why });
      };
      try {
        const why = await wrongIn(test, ctx.signal);
        if (why === undefined) figures.right++;
        else if (NOISY.has(test.name) && (await wrongIn(test, ctx.signal, NOISE)) === undefined)
          note("missing", `recorded with more noise than its tolerance: ${why}`);
        else note("wrong", why);
      } catch (error) {
        const diagnostic = isPareError(error) ? error.diagnostics[0] : undefined;
        note(NO_ANSWER.has(diagnostic?.code ?? "") ? "missing" : "wrong", diagnostic?.message ?? String(error));
      }
    }
    return { figures, cases };
  },
};
