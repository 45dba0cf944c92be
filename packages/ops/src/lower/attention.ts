import { attr } from "@pare/core";
import { dtypeOf } from "../dtype-codes.ts";
import { type Builder, join, LAST, type Lower, permute } from "./builder.ts";

/** [batch, positions, heads * size] as [batch, heads, positions, size]. */
const byHead = (b: Builder, x: string, heads: number) =>
  permute(b, b.add("Reshape", [x, b.ints([0, 0, heads, -1])]), 0, 2, 1, 3);

/** Scaled dot-product attention by the body that ONNX 1.22 gives Attention 24. */
export const attention: Lower = (b) => {
  const [q, k, v] = [b.input(0)!, b.input(1)!, b.input(2)!];
  const [pastKey, pastValue] = [b.input(4), b.input(5)];
  const { outputs } = b.node;
  const dtype = b.dtype(q);
  const together = b.rank(q) === 3;
  const [heads, groups] = [b.intOf("q_num_heads", 0), b.intOf("kv_num_heads", 0)];
  if (together && (heads < 1 || groups < 1)) b.refuse("it does not say how many heads it has");
  const split = (x: string, count: number) => (together ? byHead(b, x, count) : x);
  const query = split(q, heads);
  const extended = (past: string | undefined, x: string, output: string | undefined) => {
    const all = past ? join(b, 2, past, x) : x;
    if (output) b.add("Identity", [all], {}, [output]);
    return all;
  };
  const key = extended(pastKey, split(k, groups), outputs[1]);
  const value = extended(pastValue, split(v, groups), outputs[2]);

  const repeat = repeats(b, together ? [heads, groups] : [b.shape(q)?.[1], b.shape(k)?.[1]], query, key);
  const scale = scaleOf(b, query, together ? undefined : b.shape(q)?.[3]);
  const across = permute(b, repeat(key), 0, 1, 3, 2);
  const scores = b.add("MatMul", [b.add("Mul", [query, scale]), b.add("Mul", [across, scale])]);
  const cap = b.floatOf("softcap", 0);
  const limit = cap > 0 ? b.float(cap, dtype) : "";
  const capped = cap > 0 ? b.add("Mul", [b.add("Tanh", [b.add("Div", [scores, limit])]), limit]) : scores;
  const masked = masks(b, q, key).reduce((sum, mask) => b.add("Add", [sum, mask]), capped);
  const precision = dtypeOf(b.intOf("softmax_precision", 0)) ?? dtype;
  const weights = b.cast(b.add("Softmax", [b.cast(masked, precision)], { axis: attr.int(-1) }), dtype);
  const shown = [scores, capped, masked, weights][b.intOf("qk_matmul_output_mode", 0)];
  if (outputs[3]) b.add("Identity", [shown ?? b.refuse("its qk_matmul_output_mode is unknown")], {}, [outputs[3]]);
  if (!together) b.give("MatMul", [weights, repeat(value)]);
  else b.give("Reshape", [permute(b, b.add("MatMul", [weights, repeat(value)]), 0, 2, 1, 3), b.ints([0, 0, -1])]);
};

/** The root of the scale, which both factors get. */
function scaleOf(b: Builder, query: string, size: unknown): string {
  const dtype = b.dtype(query);
  const given = b.attribute("scale", "float");
  if (given !== undefined && given < 0) b.refuse("its scale is negative");
  if (given !== undefined) return b.float(Math.sqrt(given), dtype);
  if (typeof size === "number") return b.float(size ** -0.25, dtype);
  const root = b.add("Sqrt", [b.cast(b.dims(query, 3), "float32")]);
  return b.cast(b.add("Sqrt", [b.add("Reciprocal", [root])]), dtype);
}

/** Each group of keys and values serves several heads of queries, which are next to each other. */
function repeats(b: Builder, [heads, groups]: readonly unknown[], query: string, key: string) {
  if (heads !== undefined && heads !== null && heads === groups) return (x: string) => x;
  const [h, g] = [b.dims(query, 1, 2), b.dims(key, 1, 2)];
  const times = b.add("Div", [h, g]);
  return (x: string) => {
    const [batch, rest] = [b.dims(x, 0, 1), b.dims(x, 2)];
    const many = b.add("Expand", [b.add("Unsqueeze", [x, b.ints([2])]), join(b, 0, batch, g, times, rest)]);
    return b.add("Reshape", [many, join(b, 0, batch, h, rest)]);
  };
}

/** What is added to the scores: the mask, and minus infinity for what may not be looked at. */
function masks(b: Builder, q: string, key: string): string[] {
  const [mask, past, valid] = [b.input(3), b.input(4), b.input(6)];
  const dtype = b.dtype(q);
  const [zero, hidden] = [() => b.float(0, dtype), () => b.float(Number.NEGATIVE_INFINITY, dtype)];
  const found: string[] = [];
  const keys = b.dims(key, 2, 3);
  const columns = () => b.add("Range", [b.int(0), b.dim(key, 2), b.int(1)]);
  if (mask) {
    const added = b.dtype(mask) === "bool" ? b.add("Where", [mask, zero(), hidden()]) : b.cast(mask, dtype);
    const rank = b.rank(mask);
    if (rank === 0) b.refuse("its mask has no dimensions");
    const [width, total] = [b.shape(mask)?.at(-1), past ? undefined : b.shape(b.input(1)!)?.at(-2)];
    // A mask of fewer keys hides the others.
    const missing = () => b.add("Sub", [keys, b.dims(added, -1)]);
    const whole = width === 1 || (typeof width === "number" && width === total);
    found.push(
      whole ? added : b.add("Pad", [added, join(b, 0, b.ints(Array(2 * rank - 1).fill(0)), missing()), hidden()]),
    );
  }
  if (b.intOf("is_causal", 0) === 1) {
    const rows = b.add("Range", [b.int(0), b.dim(q, -2), b.int(1)]);
    const column = b.add("Unsqueeze", [rows, b.ints([1])]);
    const place = past ? b.add("Add", [column, b.dims(past, 2, 3)]) : column;
    found.push(b.add("Where", [b.add("Less", [place, columns()]), hidden(), zero()]));
  }
  if (valid) {
    const each = b.add("Reshape", [valid, b.ints([-1, 1, 1, 1])]);
    found.push(b.add("Where", [b.add("Less", [columns(), each]), zero(), hidden()]));
  }
  return found;
}

/** Rotates pairs of features, by the body that ONNX 1.22 gives RotaryEmbedding 23. */
export const rotaryEmbedding: Lower = (b) => {
  const [x, positions] = [b.input(0)!, b.input(3)];
  const together = b.rank(x) === 3;
  const heads = b.intOf("num_heads", 0);
  if (together && heads < 1) b.refuse("it does not say how many heads it has");
  // [batch, positions, heads, size]
  const whole = together ? b.add("Reshape", [x, b.ints([0, 0, heads, -1])]) : permute(b, x, 0, 2, 1, 3);
  const part = b.intOf("rotary_embedding_dim", 0);
  const slice = (v: string, from: number, to: number, axis: number, step = 1) =>
    b.add("Slice", [v, b.ints([from]), b.ints([to]), b.ints([axis]), b.ints([step])]);
  const rotating = part > 0 ? slice(whole, 0, part, 3) : whole;
  const angle = (table: string) => {
    const rows = positions ? b.add("Gather", [table, positions]) : table;
    const used = part > 0 ? slice(rows, 0, part / 2, 2) : rows;
    return b.add("Unsqueeze", [used, b.ints([2])]);
  };
  const [cos, sin] = [angle(b.input(1)!), angle(b.input(2)!)];
  const interleaved = b.intOf("interleaved", 0) === 1;
  const halves: [string, string] = [b.fresh("real"), b.fresh("imaginary")];
  if (interleaved)
    halves.forEach((name, i) => {
      b.add("Slice", [rotating, b.ints([i]), b.ints([LAST]), b.ints([3]), b.ints([2])], {}, [name]);
    });
  // Without sizes it makes equal parts, until 17; they are always equal here.
  else
    b.add("Split", [rotating], { axis: attr.int(-1), ...(b.target < 18 ? {} : { num_outputs: attr.int(2) }) }, halves);
  const [re, im] = halves;
  const times = (p: string, r: string) => b.add("Mul", [p, r]);
  const real = b.add("Sub", [times(cos, re), times(sin, im)]);
  const imaginary = b.add("Add", [times(sin, re), times(cos, im)]);
  const last = (v: string) => b.add("Unsqueeze", [v, b.ints([-1])]);
  const rotated = interleaved
    ? b.add("Reshape", [join(b, -1, last(real), last(imaginary)), b.dims(rotating, 0)])
    : join(b, -1, real, imaginary);
  const all = part > 0 ? join(b, -1, rotated, slice(whole, part, LAST, 3)) : rotated;
  if (together) b.give("Reshape", [all, b.dims(x, 0)]);
  else b.give("Transpose", [all], { perm: attr.ints([0, 2, 1, 3]) });
};
