import { attr } from "@pare/core";
import type { Builder, Lower } from "./builder.ts";

/** A reduction that keeps its axes; from 18 on they are an input. */
export const reduce = (b: Builder, op: string, x: string, axes: readonly number[], keepdims = 1): string => {
  const keep = keepdims === 1 ? {} : { keepdims: attr.int(0) };
  return b.target < 18 && op !== "ReduceSum"
    ? b.add(op, [x], { axes: attr.ints(axes), ...keep })
    : b.add(op, [x, b.ints(axes)], keep);
};

/** Reductions as sums, whose axes are an input since 13: what they do before and after. */
const bySum: ReadonlyMap<string, (b: Builder, x: string, sum: (x: string) => string) => string> = new Map<
  string,
  (b: Builder, x: string, sum: (x: string) => string) => string
>([
  ["ReduceL1", (b, x, sum) => sum(b.add("Abs", [x]))],
  ["ReduceL2", (b, x, sum) => b.add("Sqrt", [sum(b.add("Mul", [x, x]))])],
  ["ReduceLogSum", (b, x, sum) => b.add("Log", [sum(x)])],
  ["ReduceSumSquare", (b, x, sum) => sum(b.add("Mul", [x, x]))],
  ["ReduceLogSumExp", (b, x, sum) => b.cast(b.add("Log", [sum(b.add("Exp", [b.cast(x, "float64")]))]), b.dtype(x))],
  [
    "ReduceMean",
    (b, x, sum) => {
      const ones = b.add("Expand", [b.cast(b.int(1), b.dtype(x)), b.dims(x, 0)]);
      return b.add("Div", [sum(x), sum(ones)]);
    },
  ],
]);

/** Axes were an attribute, and could not be none. */
export const reduceAxes: Lower = (b) => {
  const [x, axes] = [b.input(0)!, b.input(1)];
  const list = axes === undefined ? [] : b.constantInts(axes);
  if (!list) {
    const made = bySum.get(b.node.op) ?? b.refuse("its axes are known only when the model runs");
    const how = {
      keepdims: attr.int(b.intOf("keepdims", 1)),
      noop_with_empty_axes: attr.int(b.intOf("noop_with_empty_axes", 0)),
    };
    return b.give("Identity", [made(b, x, (v) => b.add("ReduceSum", [v, axes], how))]);
  }
  const none = { noop_with_empty_axes: undefined };
  if (list.length > 0) return b.keep({ inputs: [x], attributes: { ...none, axes: attr.ints(list) } });
  if (b.intOf("noop_with_empty_axes", 0) === 0) return b.keep({ inputs: [x], attributes: none });
  // Each element is reduced alone: along a new axis.
  const alone = b.add("Unsqueeze", [x, b.ints([0])]);
  b.keep({ inputs: [alone], attributes: { ...none, axes: attr.ints([0]), keepdims: attr.int(0) } });
};

/** Products along an axis are a scan that multiplies. */
export const cumProd: Lower = (b) => {
  const [x, axisInput] = [b.input(0)!, b.input(1)!];
  const axis = b.constantInts(axisInput)?.[0] ?? b.refuse("its axis is known only when the model runs");
  const rank = b.rank(x);
  const dtype = b.dtype(x);
  const at = axis < 0 ? axis + rank : axis;
  const others = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== at);
  const shape = b.add("Gather", [b.dims(x, 0), b.ints(others)]);
  const ones = b.add("Expand", [b.cast(b.int(1), dtype), shape]);
  const [before, item, after, out] = ["before", "item", "after", "out"].map(b.fresh) as [
    string,
    string,
    string,
    string,
  ];
  const body = b.graph(
    [
      { name: before, dtype },
      { name: item, dtype },
    ],
    () => {
      b.add("Mul", [before, item], {}, [after]);
      b.add("Identity", [b.intOf("exclusive", 0) === 1 ? before : after], {}, [out]);
      return [after, out];
    },
  );
  const backward = attr.ints([b.intOf("reverse", 0) === 1 ? 1 : 0]);
  const last = b.fresh("last");
  b.note(dtype, last);
  b.add(
    "Scan",
    [ones, x],
    {
      body: attr.graph(body),
      num_scan_inputs: attr.int(1),
      scan_input_axes: attr.ints([at]),
      scan_output_axes: attr.ints([at]),
      scan_input_directions: backward,
      scan_output_directions: backward,
    },
    [last, b.node.outputs[0]!],
  );
};
