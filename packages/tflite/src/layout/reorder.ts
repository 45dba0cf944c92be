import { elementCount, type ResidentTensor, tensor } from "@pare/core";
import { numbersOf, tensorOf } from "@pare/ops/numeric";
import { reshaped } from "@pare/ops/weights";
import type { BuiltinOperator } from "../format/options.ts";
import type { Sink } from "../lower/context.ts";
import { hasOrders, lastOrder, permuted, type Step, type Val } from "../lower/program.ts";

/** Says a step with channels last in all its operands; undefined where it cannot be said. */
type Reorder = (s: Step, sink: Sink) => Step | undefined;

const isWhole = (v: Val, rank: number) => v.shape.length === rank && hasOrders(v);

/** Operands of fewer dimensions are constants, which get the others, or single elements, which need none. */
const elementwise: Reorder = (s, sink) => {
  const rank = s.outputs[0]!.value.shape.length;
  const inputs = s.inputs.map((arg) => {
    if (!arg || isWhole(arg.value, rank) || elementCount(arg.value.shape) === 1) return arg;
    const { value } = arg;
    if (!value.data || value.shape.length >= rank) return undefined;
    const shape = [...Array<number>(rank - value.shape.length).fill(1), ...value.shape];
    return { ...arg, value: sink.fresh(shape, value.dtype, reshaped(value.data, shape)) };
  });
  if (inputs.some((arg, i) => arg === undefined && s.inputs[i] !== undefined)) return undefined;
  return { ...s, inputs };
};

/** Reorders a constant operand whose rows belong to dimensions. */
const withRows =
  (...operands: readonly number[]): Reorder =>
  (s, sink) => {
    const rank = s.inputs[0]!.value.shape.length;
    const inputs = [...s.inputs];
    for (const i of operands) {
      const t = s.inputs[i]?.value.data;
      if (!t?.bytes || t.shape[0] !== rank) return undefined;
      const size = t.bytes.length / rank;
      const rows = lastOrder(rank).map((axis) => t.bytes!.subarray(axis * size, (axis + 1) * size));
      const bytes = new Uint8Array(t.bytes.length);
      rows.forEach((row, at) => {
        bytes.set(row, at * size);
      });
      inputs[i] = { value: sink.fresh(t.shape, t.dtype, tensor(t.dtype, t.shape, bytes)) };
    }
    return { ...s, inputs };
  };

/** Where dimensions go: `[0, 3, 1, 2]` says that dimension 1 becomes the last of four. */
const placesOf = (rank: number) => {
  const perm = lastOrder(rank);
  return perm.map((_, axis) => perm.indexOf(axis));
};

/** A constant operand that names dimensions. */
const withAxes =
  (operand: number, source: number): Reorder =>
  (s, sink) => {
    const v = s.inputs[operand]?.value;
    if (!v?.data?.bytes) return undefined;
    const rank = s.inputs[source]!.value.shape.length;
    const places = placesOf(rank);
    const axes = [...numbersOf(v.data as ResidentTensor)].map((axis) => places[axis]!);
    const named = sink.fresh(v.shape, v.dtype, tensorOf(v.dtype, v.shape, axes));
    return { ...s, inputs: s.inputs.map((arg, i) => (i === operand ? { value: named } : arg)) };
  };

const reduction: Reorder = (s, sink) => {
  const [x, axes] = s.inputs.map((a) => a!.value) as [Val, Val];
  const found = withAxes(1, 0)(s, sink);
  if (!found || s.options["keep_dims"] === true) return found;
  const gone = new Set(numbersOf(axes.data as ResidentTensor));
  const kept = x.shape.map((_, axis) => axis).filter((axis) => !gone.has(axis));
  const left = lastOrder(x.shape.length).filter((axis) => !gone.has(axis));
  const out = s.outputs[0]!;
  if (`${left}` === `${kept}`) return { ...found, outputs: [hasOrders(out.value) ? { ...out, order: "source" } : out] };
  const isLast = hasOrders(out.value) && `${left}` === `${permuted(kept, lastOrder(kept.length))}`;
  return isLast ? found : undefined;
};

const concat: Reorder = (s) => {
  const rank = s.outputs[0]!.value.shape.length;
  return { ...s, options: { ...s.options, axis: placesOf(rank)[Number(s.options["axis"])]! } };
};

const gather: Reorder = (s) => {
  const [x, indices] = s.inputs.map((a) => a!.value) as [Val, Val];
  if (indices.shape.length !== 1) return undefined;
  return { ...s, options: { ...s.options, axis: placesOf(x.shape.length)[Number(s.options["axis"])]! } };
};

/** Batch and channels stay; what lies between them is divided in another way. */
const reshape: Reorder = (s, sink) => {
  const [x, y] = [s.inputs[0]!.value, s.outputs[0]!.value];
  if (!hasOrders(x) || !hasOrders(y) || x.shape[0] !== y.shape[0] || x.shape[1] !== y.shape[1]) return undefined;
  const shape = storedShape(y, true);
  const to = sink.fresh([shape.length], "int32", tensor("int32", [shape.length], [...shape]));
  return { ...s, inputs: [s.inputs[0], { value: to }], options: { new_shape: shape } };
};

const list = (codes: string, reorder: Reorder): [BuiltinOperator, Reorder][] =>
  codes.split(" ").map((code) => [code as BuiltinOperator, reorder]);

/** Operators that mean the same with their dimensions in another order, and how they are said then. */
const reorders: ReadonlyMap<string, Reorder> = new Map([
  ...list(
    "ABS CEIL COS ELU EXP FLOOR GELU HARD_SWISH LEAKY_RELU LOG LOGICAL_NOT LOGISTIC NEG RELU RELU6 RELU_N1_TO_1 ROUND RSQRT SIGN SIN SQRT SQUARE TANH CAST DEQUANTIZE",
    elementwise,
  ),
  ...list(
    "ADD SUB MUL DIV MAXIMUM MINIMUM POW SQUARED_DIFFERENCE FLOOR_DIV FLOOR_MOD EQUAL NOT_EQUAL GREATER GREATER_EQUAL LESS LESS_EQUAL LOGICAL_AND LOGICAL_OR SELECT_V2 BITWISE_XOR RIGHT_SHIFT",
    elementwise,
  ),
  ...list("MEAN SUM REDUCE_MAX REDUCE_MIN REDUCE_PROD REDUCE_ANY REDUCE_ALL", reduction),
  ...list("PAD PADV2 MIRROR_PAD TILE BROADCAST_TO", withRows(1)),
  ...list("SLICE", withRows(1, 2)),
  ...list("STRIDED_SLICE", withRows(1, 2, 3)),
  ...list("SPLIT", withAxes(0, 1)),
  ...list("SPLIT_V", withAxes(2, 0)),
  ...list("REVERSE_V2 CUMSUM", withAxes(1, 0)),
  ...list("CONCATENATION", concat),
  ...list("RESHAPE", reshape),
  ...list("GATHER", gather),
]);

/** Operands that are parameters, by what they are, and no values that lie in an order. */
const isValue = (v: Val) => hasOrders(v);

/**
 * A step said with channels last, or undefined where only the order of the source will do. Operands that have orders and no
 * order of their own are then meant with channels last.
 */
export function reordered(s: Step, sink: Sink): Step | undefined {
  const free = [...s.inputs, ...s.outputs].filter((a) => a && isValue(a.value));
  if (free.length === 0 || free.some((a) => a!.order)) return undefined;
  const found = reorders.get(s.code)?.(s, sink);
  if (!found) return undefined;
  const source = s.code === "SPLIT" ? s.inputs[1]! : s.inputs[0]!;
  const isWithSource = isValue(source.value) || s.inputs.some((a) => a && isValue(a.value));
  return isWithSource ? found : undefined;
}

/** The numbers of shapes in a step that makes one, in the order in which its result lies. */
export const storedShape = (v: Val, isLast: boolean): readonly number[] =>
  isLast && hasOrders(v) ? permuted(v.shape, lastOrder(v.shape.length)) : v.shape;
