import { attribute, intAttribute, type Node } from "@pare/core";

/** Shapes of a node's inputs and outputs; undefined where a dimension is not known or the value is left out. */
export interface Shapes {
  readonly node: Node;
  readonly input: (index: number) => readonly number[] | undefined;
  readonly output: (index: number) => readonly number[] | undefined;
}

/** Multiply-accumulates of one run of a node; undefined where a shape that decides is not known. */
export type MacRule = (s: Shapes) => number | undefined;

const count = (shape: readonly number[]) => shape.reduce((n, d) => n * d, 1);

/** Each output element sums over the input channels of its group and the kernel: |Y| · C/groups · kernel. */
const convolution =
  (weight: number): MacRule =>
  ({ input, output }) => {
    const [w, y] = [input(weight), output(0)];
    return w && y && count(y) * count(w.slice(1));
  };

/** Each output element sums over the shared axis: |Y| · K. */
const product: MacRule = ({ input, output }) => {
  const [a, y] = [input(0), output(0)];
  return a && y && count(y) * (a.at(-1) ?? 1);
};

/** In each step and direction, each gate multiplies input and state by a matrix: T · B · |W| + T · B · |R|. */
const recurrent: MacRule = ({ input }) => {
  const [x, w, r] = [input(0), input(1), input(2)];
  return x && w && r && count(x.slice(0, 2)) * (count(w) + count(r));
};

/** Q·Kᵀ and its product with V: B · heads · L · S · (E + Ev), as if no score were masked. */
const attention: MacRule = ({ node, input, output }) => {
  const [q, y, k] = [input(0), output(0), input(1)];
  const past = node.inputs[4] ? input(4)?.[2] : 0;
  // Q has B · heads · L · E elements, Y has B · heads · L · Ev.
  return q && y && k && past !== undefined ? (count(q) + count(y)) * (past + (k.at(-2) ?? 1)) : undefined;
};

/**
 * For each token and head the state [E, V] is updated with an outer product, and read: (Hkv + Hq) · E · V; the delta
 * rules read it once more to correct it: Hkv · E · V.
 */
const linearAttention: MacRule = ({ node, input, output }) => {
  const [q, state] = [input(0), output(1) ?? input(3)];
  if (!q || state?.length !== 4) return undefined;
  const [, kv, e, v] = state as [number, number, number, number];
  const delta = String(attribute(node, "update_rule", "string") ?? "").includes("delta");
  return count(q.slice(0, 2)) * e * v * (intAttribute(node, "q_num_heads", 1) + kv * (delta ? 2 : 1));
};

/** The product of the sizes of all letters, for each operand after the first: no order of contraction is assumed. */
const einsum: MacRule = ({ node, input }) => {
  const equation = String(attribute(node, "equation", "string") ?? "").replaceAll(" ", "");
  const terms = equation.split("->")[0]!.split(",");
  const sizes = new Map<string, number>();
  for (const [i, term] of terms.entries()) {
    const shape = input(i);
    if (!shape) return undefined;
    const dots = shape.length - term.replace("...", "").length;
    const letters = [...term.replace("...", "\0")].flatMap((l) =>
      l === "\0" ? Array.from({ length: Math.max(dots, 0) }, (_, k) => `.${dots - k}`) : [l],
    );
    for (const [k, letter] of letters.entries()) sizes.set(letter, Math.max(sizes.get(letter) ?? 1, shape[k] ?? 1));
  }
  return count([...sizes.values()]) * (terms.length - 1);
};

/** Operators that multiply and accumulate. All others count as 0: what they do is at most a few steps an element. */
export const macRules: ReadonlyMap<string, MacRule> = new Map([
  ["Conv", convolution(1)],
  ["ConvInteger", convolution(1)],
  ["DeformConv", convolution(1)],
  ["QLinearConv", convolution(3)],
  ["CausalConvWithState", convolution(1)],
  // Each input element is spread over the output channels of its group and the kernel: |X| · M/groups · kernel.
  ["ConvTranspose", ({ input }: Shapes) => input(0) && input(1) && count(input(0)!) * count(input(1)!.slice(1))],
  ["MatMul", product],
  ["MatMulInteger", product],
  ["QLinearMatMul", product],
  [
    "Gemm",
    ({ node, input, output }: Shapes) => {
      const [a, y] = [input(0), output(0)];
      return a && y && count(y) * a[intAttribute(node, "transA", 0) ? 0 : 1]!;
    },
  ],
  ["Einsum", einsum],
  ["LSTM", recurrent],
  ["GRU", recurrent],
  ["RNN", recurrent],
  ["Attention", attention],
  ["LinearAttention", linearAttention],
]);
