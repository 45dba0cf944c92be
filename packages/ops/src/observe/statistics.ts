import { attr, type Dim, dataOf, type Edit, type GraphView, node, type ResidentTensor, tensor } from "@pare/core";
import { codeOf } from "../dtype-codes.ts";
import { addNumbers, histogram, readHistogram, writeHistogram } from "./histogram.ts";

/** Where a statistic is computed: nodes are added to `view`, and constants that several statistics share. */
export interface Place {
  readonly e: Edit;
  readonly view: GraphView;
  readonly constant: (name: string, numbers: readonly number[]) => string;
  readonly scalar: (name: string, number: number) => string;
  /** Shape of the value, as far as it is known. */
  readonly shape: readonly Dim[] | undefined;
}

/** The key of a statistic of a value in what `gather` gives. */
export const statisticKey = (statistic: string, value: string): string => `${statistic}:${value}`;

/** Joins what single samples give into one tensor. */
export interface Accumulator {
  add(parts: readonly ResidentTensor[]): void;
  result(): ResidentTensor;
}

/** A statistic: operators that reduce a value inside the graph, and how the results of samples are joined. */
export interface Statistic {
  /**
   * Adds the operators, and gives the values that hold the result for one sample; a sentence where it cannot be
   * computed of this value.
   */
  readonly reduce: (value: string, place: Place, axis: number) => readonly string[] | string;
  /** Goes on from `before`, the result of so many samples, as if they had passed here. */
  readonly start: (before?: ResidentTensor, samples?: number) => Accumulator;
}

/** Numbers of a value, spread evenly over it, that a histogram takes from one sample. */
const NUMBERS_OF_A_SAMPLE = 16384;

function add({ e, view }: Place, op: string, inputs: readonly string[], attributes = {}): string {
  const made = e.fresh(`${inputs[0]}_${op}`);
  e.insert(view, [node(op, inputs, [made], attributes)]);
  return made;
}

const whole = { keepdims: attr.int(0) };

/** Reduces all axes but one. */
function perChannel(op: string, value: string, place: Place, axis: number): string | undefined {
  const rank = place.shape?.length;
  if (rank === undefined || axis >= rank || axis < -rank) return undefined;
  const kept = axis < 0 ? axis + rank : axis;
  const axes = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== kept);
  if (axes.length === 0) return value;
  return add(place, op, [value, place.constant(`axes_${axes.join("_")}`, axes)], whole);
}

const least = (a: number, b: number) => Math.min(a, b);
const most = (a: number, b: number) => Math.max(a, b);
const mean = (before: number, now: number, samples: number) => before + (now - before) / samples;

/** Joins elementwise; the first sample is taken as it is. `join` is told how many samples there are with this one. */
function elementwise(
  parts: number,
  join: (before: number, now: number, samples: number) => number,
  before?: ResidentTensor,
  samples = 0,
): Accumulator {
  let total = before && Float32Array.from(dataOf(before as ResidentTensor<"float32">));
  return {
    add(tensors) {
      const data = tensors.slice(0, parts).map((t) => dataOf(t as ResidentTensor<"float32">) as Float32Array);
      const numbers = data.length === 1 ? data[0]! : Float32Array.from(data.flatMap((d) => [...d]));
      samples++;
      total = total
        ? total.map((before, i) => join(before, numbers[i] ?? Number.NaN, samples))
        : Float32Array.from(numbers);
    },
    result: () => tensor("float32", [total?.length ?? 0], total ?? []),
  };
}

const scalar = (op: readonly string[], join: Parameters<typeof elementwise>[1]): Statistic => ({
  reduce: (value, place) => [op.reduce((v, o) => add(place, o, [v], o.startsWith("Reduce") ? whole : {}), value)],
  start: (before, samples) => {
    const { add, result } = elementwise(1, join, before, samples);
    return { add, result: () => tensor("float32", [], dataOf(result() as ResidentTensor<"float32">)) };
  },
});

const unknownAxis = "the rank of the value is not known";

export const statistics: ReadonlyMap<string, Statistic> = new Map<string, Statistic>([
  ["absmax", scalar(["Abs", "ReduceMax"], most)],
  ["max", scalar(["ReduceMax"], most)],
  ["min", scalar(["ReduceMin"], least)],
  [
    "mean-square",
    {
      ...scalar([], mean),
      reduce: (v, place) => [add(place, "ReduceMean", [add(place, "Mul", [v, v])], whole)],
    },
  ],
  [
    "min-max",
    {
      reduce: (v, place) => [add(place, "ReduceMin", [v], whole), add(place, "ReduceMax", [v], whole)],
      start: (before, samples) => {
        const [low, high] = before ? [...dataOf(before as ResidentTensor<"float32">)] : [];
        const end = (x: number | undefined) => (x === undefined ? undefined : tensor("float32", [], [x]));
        const ends = [elementwise(1, least, end(low), samples), elementwise(1, most, end(high), samples)] as const;
        return {
          add: (parts) => ends.forEach((end, i) => void end.add([parts[i]!])),
          result: () =>
            tensor(
              "float32",
              [2],
              ends.flatMap((end) => [...dataOf(end.result() as ResidentTensor<"float32">)]),
            ),
        };
      },
    },
  ],
  [
    "average-min-max",
    {
      reduce: (v, place) => [add(place, "ReduceMin", [v], whole), add(place, "ReduceMax", [v], whole)],
      start: (...from) => elementwise(2, mean, ...from),
    },
  ],
  [
    "channel-absmax",
    {
      reduce(v, place, axis) {
        const made = perChannel("ReduceMax", add(place, "Abs", [v]), place, axis);
        return made === undefined ? unknownAxis : [made];
      },
      start: (...from) => elementwise(1, most, ...from),
    },
  ],
  [
    "channel-mean",
    {
      reduce(v, place, axis) {
        const made = perChannel("ReduceMean", v, place, axis);
        return made === undefined ? unknownAxis : [made];
      },
      start: (...from) => elementwise(1, mean, ...from),
    },
  ],
  [
    "channel-mean-square",
    {
      reduce(v, place, axis) {
        const made = perChannel("ReduceMean", add(place, "Mul", [v, v]), place, axis);
        return made === undefined ? unknownAxis : [made];
      },
      start: (...from) => elementwise(1, mean, ...from),
    },
  ],
  [
    "gram",
    {
      /** Of the vectors along an axis: the mean of `x xT`. */
      reduce(v, place, axis) {
        const rank = place.shape?.length;
        const length = place.shape?.at(axis);
        if (rank === undefined || typeof length !== "number") return unknownAxis;
        const kept = axis < 0 ? axis + rank : axis;
        const order = [...Array.from({ length: rank }, (_, i) => i).filter((i) => i !== kept), kept];
        const last = order.every((d, i) => d === i) ? v : add(place, "Transpose", [v], { perm: attr.ints(order) });
        const rows = add(place, "Reshape", [last, place.constant(`rows_${length}`, [-1, length])]);
        const count = add(place, "Gather", [add(place, "Shape", [rows]), place.scalar("first", 0)]);
        const sum = add(place, "MatMul", [add(place, "Transpose", [rows], { perm: attr.ints([1, 0]) }), rows]);
        return [add(place, "Div", [sum, add(place, "Cast", [count], { to: attr.int(codeOf("float32")) })])];
      },
      start: (...from) => elementwise(1, mean, ...from),
    },
  ],
  [
    "histogram",
    {
      /** Every n-th number, n odd so that it does not always meet the same channel. */
      reduce(v, place) {
        const one = place.constant("one", [1]);
        const double = place.constant("double", [2 * NUMBERS_OF_A_SAMPLE]);
        const two = place.constant("two", [2]);
        const count = add(place, "Reshape", [add(place, "Size", [v]), one]);
        const steps = add(place, "Add", [add(place, "Mul", [add(place, "Div", [count, double]), two]), one]);
        const flat = add(place, "Reshape", [v, place.constant("flat", [-1])]);
        const zero = place.constant("zero", [0]);
        const ends = [add(place, "ReduceMin", [v], whole), add(place, "ReduceMax", [v], whole)];
        const step = add(place, "Cast", [steps], { to: attr.int(codeOf("float32")) });
        return [add(place, "Slice", [flat, zero, count, zero, steps]), step, ...ends];
      },
      start(before) {
        const h = before ? readHistogram(before) : histogram();
        return {
          add([numbers, step, ...ends]) {
            // Where every number was taken, the ends are among them.
            const all = dataOf(step as ResidentTensor<"float32">)[0] === 1;
            for (const t of all ? [numbers] : [numbers, ...ends]) addNumbers(h, dataOf(t as ResidentTensor<"float32">));
          },
          result: () => writeHistogram(h),
        };
      },
    },
  ],
]);
