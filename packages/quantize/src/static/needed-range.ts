import { dataOf, type GraphView, type Node, operatorOf, type ResidentTensor, tensor } from "@pare/core";
import { evaluateNode } from "@pare/ops/evaluate";
import type { Range } from "./ranges.ts";

/** Operators that take each element by itself. */
const elementwise = new Set(
  "Abs Add Celu Clip Div Elu Erf Gelu HardSigmoid HardSwish Identity LeakyRelu Max Min Mish Mul Neg Relu Selu Sigmoid Softplus Softsign Sub Swish Tanh ThresholdedRelu".split(
    " ",
  ),
);

/** Operators that are looked at behind a value, and points at which they are computed. */
const MOST_NODES = 16;
const POINTS = 2048;

/** Share of a code. */
const FLAT = 1 / 16;

/** Share of a range below which it is not worth it to cut an end. */
const WORTHWHILE = 1 / 16;

/**
 * The part of a range that what reads the value can tell apart: where HardSwish, Sigmoid or such a function is flat, codes would
 * be spent for nothing. Flat is what differs by a sixteenth of a code of what the function gives at most: much of what a value
 * holds may lie there, and all of it shifts.
 */
export function neededRange(view: GraphView, value: string, range: Range, levels: number): Range {
  const nodes = functionOf(view, value);
  if (nodes.length === 0 || !(range.max > range.min)) return range;
  const step = (range.max - range.min) / (POINTS - 1);
  const points = Float32Array.from({ length: POINTS }, (_, i) => range.min + i * step);
  const results = computed(view, value, nodes, points);
  if (!results) return range;
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const y of results) [least, most] = [Math.min(least, y), Math.max(most, y)];
  const flat = FLAT * ((most - least) / (levels - 1));
  if (!(flat > 0 && flat < Number.POSITIVE_INFINITY)) return range;
  const low = flatEnd(results, flat);
  const high = POINTS - 1 - flatEnd(results.toReversed(), flat);
  return {
    min: low < WORTHWHILE * POINTS ? range.min : Math.min(0, points[low]!),
    max: POINTS - 1 - high < WORTHWHILE * POINTS ? range.max : Math.max(0, points[high]!),
  };
}

/** How many points from the first on give the same but for `most`. */
function flatEnd(results: Float32Array, most: number): number {
  let [low, high] = [results[0]!, results[0]!];
  for (let i = 1; i < results.length; i++) {
    low = Math.min(low, results[i]!);
    high = Math.max(high, results[i]!);
    if (high - low > most) return i - 1;
  }
  return 0;
}

/**
 * All that reads a value up to where one value comes out of it, if that is a function of each element: operators on
 * elements whose other inputs are single numbers. In order; empty if there is no such function.
 */
function functionOf(view: GraphView, value: string): readonly Node[] {
  const nodes: Node[] = [];
  const inside = new Set([value]);
  let closed = 0;
  while (nodes.length < MOST_NODES) {
    const uses = [...inside].flatMap((v) => view.uses(v)).filter((u) => !nodes.includes(u.node));
    if (uses.some((u) => u.view !== view) || [...inside].some((v) => view.isOutput(v))) break;
    const next = uses.find(({ node }) =>
      node.inputs.every((v) => v === "" || inside.has(v) || isNumber(view, v)),
    )?.node;
    if (next?.outputs.length !== 1 || !elementwise.has(operatorOf(next))) break;
    // Where a divisor is zero there is no range.
    if (next.op === "Div" && inside.has(next.inputs[1]!)) break;
    nodes.push(next);
    inside.add(next.outputs[0]!);
    const isRead = (n: Node) => view.uses(n.outputs[0]!).every((u) => nodes.includes(u.node));
    if (view.uses(value).every((u) => nodes.includes(u.node)) && nodes.slice(0, -1).every(isRead))
      closed = nodes.length;
  }
  return nodes.slice(0, closed);
}

const isNumber = (view: GraphView, v: string) => {
  const t = view.constant(v);
  return t?.dtype === "float32" && t.bytes !== undefined && t.shape.every((d) => d === 1);
};

function computed(
  view: GraphView,
  value: string,
  nodes: readonly Node[],
  points: Float32Array,
): Float32Array | undefined {
  const known = new Map<string, ResidentTensor>([[value, tensor("float32", [points.length], points)]]);
  let last: ResidentTensor | undefined;
  for (const n of nodes) {
    const inputs = n.inputs.map((v) => (v === "" ? undefined : (known.get(v) ?? (view.constant(v) as ResidentTensor))));
    last = evaluateNode(n, inputs)?.[0];
    if (!last) return undefined;
    known.set(n.outputs[0]!, last);
  }
  return last && (dataOf(last as ResidentTensor<"float32">) as Float32Array);
}
