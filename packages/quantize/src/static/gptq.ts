import type { Affine, CodeLimits } from "../weights/affine.ts";
import type { CodeArray } from "../weights/codes.ts";

/** Share of the mean of the diagonal that is added to it, so that it can be inverted. */
const DAMPING = 0.01;

/** A weight as a matrix: where the element of an output and an input stands. */
export interface MatrixView {
  readonly outputs: number;
  readonly inputs: number;
  readonly at: (output: number, input: number) => number;
}

/**
 * Codes of a weight that keep what it gives, not each element: inputs are rounded one after the other, and the error that
 * each makes is spread over those that come after, as far as the inputs go together. (Frantar et al. 2022, "GPTQ",
 * arXiv:2210.17323, with the inputs of largest power first.)
 * @param gram mean of `x xT` over the inputs `x` of the layer, `inputs` by `inputs`
 * @param groups which scale each element of the weight has
 */
export function gptqCodes(
  data: Float32Array,
  { outputs, inputs, at }: MatrixView,
  gram: Float32Array,
  { scale, zeroPoint }: Affine,
  groups: Int32Array,
  limits: CodeLimits,
): CodeArray {
  const order = Array.from({ length: inputs }, (_, i) => i).sort(
    (a, b) => gram[b * inputs + b]! - gram[a * inputs + a]! || a - b,
  );
  const spread = spreading(gram, order);
  const codes = limits.max > 127 ? new Int16Array(data.length) : new Int8Array(data.length);
  const row = new Float64Array(inputs);
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < inputs; i++) row[i] = data[at(o, order[i]!)]!;
    for (let i = 0; i < inputs; i++) {
      const element = at(o, order[i]!);
      const s = scale[groups[element]!]!;
      const z = zeroPoint[groups[element]!]!;
      const code = Math.max(limits.min, Math.min(limits.max, Math.round(row[i]! / s) + z));
      codes[element] = code;
      const from = i * inputs;
      const error = (row[i]! - (code - z) * s) / spread[from + i]!;
      for (let k = i + 1; k < inputs; k++) row[k]! -= error * spread[from + k]!;
    }
  }
  return codes;
}

/** The upper Cholesky factor of the inverse of a damped Gram matrix, with its rows and columns in an order. */
function spreading(gram: Float32Array, order: readonly number[]): Float64Array {
  const n = order.length;
  let power = 0;
  for (let i = 0; i < n; i++) power += gram[i * n + i]! / n;
  const h = new Float64Array(n * n);
  for (let i = 0; i < n; i++)
    for (let k = 0; k < n; k++)
      h[i * n + k] = gram[order[i]! * n + order[k]!]! + (i === k ? DAMPING * power + Number.MIN_VALUE : 0);
  // Reversed, the inverse's upper factor is the inverse of the lower factor: U = J L'^-1 J with J h J = L' L'T.
  const reversed = h.toReversed();
  choleskyInPlace(reversed, n);
  invertLowerInPlace(reversed, n);
  return reversed.toReversed();
}

/** The lower factor of a symmetric positive definite matrix, in its lower half. */
function choleskyInPlace(a: Float64Array, n: number): void {
  for (let j = 0; j < n; j++) {
    const rowJ = j * n;
    for (let i = j; i < n; i++) {
      const rowI = i * n;
      let sum = a[rowI + j]!;
      for (let k = 0; k < j; k++) sum -= a[rowI + k]! * a[rowJ + k]!;
      a[rowI + j] = i === j ? Math.sqrt(Math.max(sum, Number.MIN_VALUE)) : sum / a[rowJ + j]!;
    }
  }
}

/** The inverse of a lower triangular matrix; the upper half becomes zero. */
function invertLowerInPlace(a: Float64Array, n: number): void {
  for (let j = 0; j < n; j++) {
    a.fill(0, j * n + j + 1, (j + 1) * n);
    a[j * n + j] = 1 / a[j * n + j]!;
  }
  // Row by row: row i of the inverse from the rows above it.
  const row = new Float64Array(n);
  for (let i = 1; i < n; i++) {
    row.fill(0, 0, i);
    for (let k = 0; k < i; k++) {
      const f = a[i * n + k]!;
      if (f !== 0) for (let j = 0; j <= k; j++) row[j]! += f * a[k * n + j]!;
    }
    const d = a[i * n + i]!;
    for (let j = 0; j < i; j++) a[i * n + j] = -row[j]! * d;
  }
}
