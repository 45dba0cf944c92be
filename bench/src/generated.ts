import { elementCount, type Model, tensor, type Values } from "@pare/core";
import { parse } from "@pare/core/parse";

/** A model of an old opset, and what goes in. */
export interface GeneratedCase {
  readonly name: string;
  readonly opset: number;
  readonly model: Model;
  readonly inputs: Values;
}

interface Draw {
  /** A whole number from `low` to `high`. */
  int(low: number, high: number): number;
  pick<T>(list: readonly T[]): T;
}

/** The same numbers for the same seed. */
function drawFrom(seed: number): Draw {
  let state = seed >>> 0;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const int = (low: number, high: number) => low + Math.floor(next() * (high - low + 1));
  return { int, pick: (list) => list[int(0, list.length - 1)]! };
}

/** One node (or a few) of an old opset on `x`, whose shape is drawn too. */
interface Old {
  readonly opset: readonly [from: number, to: number];
  readonly rank: readonly [number, number];
  readonly body: (d: Draw, shape: readonly number[]) => string;
}

const list = (values: readonly number[]) => `[${values.join(", ")}]`;
/** A number as the text of a float. */
const real = (v: number) => (Number.isInteger(v) ? `${v}.0` : `${v}`);
const ints = (name: string, values: readonly number[]) => `${name}: int64[${values.length}] = {${values.join(", ")}}\n`;
const floats = (name: string, values: readonly number[]) =>
  `${name}: float32[${values.length}] = {${values.join(", ")}}\n`;
const some = (d: Draw, shape: readonly number[]) => {
  const axes = shape.map((_, i) => i).filter(() => d.int(0, 1) === 1);
  return axes.length > 0 ? axes : [0];
};
const scales = (d: Draw, shape: readonly number[], of: readonly number[]) =>
  shape.map((_, i) => (i < 2 ? 1 : d.pick(of)));

const along = (op: string): Old => ({
  opset: [7, 12],
  rank: [1, 4],
  body: (d, shape) =>
    `y = ${op}${d.int(0, 4) === 0 && shape.length > 1 ? "" : `<axis=${d.int(0, shape.length - 1)}>`}(x)`,
});
const reduction = (op: string): Old => ({
  opset: [7, 12],
  rank: [1, 4],
  body: (d, shape) =>
    `y = ${op}<keepdims=${d.int(0, 1)}${d.int(0, 3) === 0 ? "" : `, axes=${list(some(d, shape))}`}>(x)`,
});

/** Every change of meaning that an adapter takes from an opset below 13. */
const old: Readonly<Record<string, Old>> = {
  Softmax: along("Softmax"),
  LogSoftmax: along("LogSoftmax"),
  Hardmax: along("Hardmax"),
  ...Object.fromEntries(
    ["L1", "L2", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"].map((kind) => [
      `Reduce${kind}`,
      reduction(`Reduce${kind}`),
    ]),
  ),
  ReduceLogSum: {
    opset: [7, 12],
    rank: [1, 4],
    body: (d, shape) => `p = Abs(x)\ny = ReduceLogSum<axes=${list(some(d, shape))}, keepdims=${d.int(0, 1)}>(p)`,
  },
  Clip: {
    opset: [7, 10],
    rank: [0, 3],
    body: (d) => {
      const bounds = [`min=${real(d.int(-8, 0) / 4)}`, `max=${real(d.int(1, 8) / 4)}`].filter(() => d.int(0, 2) > 0);
      return `y = Clip${bounds.length > 0 ? `<${bounds.join(", ")}>` : ""}(x)`;
    },
  },
  Pad: {
    opset: [7, 10],
    rank: [1, 4],
    body(d, shape) {
      const mode = d.pick(["constant", "reflect", "edge"]);
      // A reflection is shorter than what it mirrors.
      const pads = [...shape, ...shape].map((dim) => d.int(0, Math.min(2, dim - 1)));
      return `y = Pad<pads=${list(pads)}, mode="${mode}"${mode === "constant" ? `, value=${real(d.int(-4, 4) / 2)}` : ""}>(x)`;
    },
  },
  Slice: {
    opset: [7, 9],
    rank: [1, 4],
    body(d, shape) {
      const axes = some(d, shape);
      const starts = axes.map((a) => d.int(-shape[a]!, shape[a]! - 1));
      const ends = axes.map((a, i) => (d.int(0, 2) === 0 ? 1000 : ((starts[i]! + shape[a]!) % shape[a]!) + 1));
      const all = axes.length === shape.length && d.int(0, 1) === 0 ? "" : `, axes=${list(axes)}`;
      return `y = Slice<starts=${list(starts)}, ends=${list(ends)}${all}>(x)`;
    },
  },
  Squeeze: {
    opset: [7, 12],
    rank: [1, 3],
    body: (d, shape) => {
      const at = d.int(0, shape.length);
      return `u = Unsqueeze<axes=${list([at, shape.length + 1])}>(x)\ny = Squeeze${d.int(0, 2) === 0 ? "" : `<axes=${list([at])}>`}(u)`;
    },
  },
  Split: {
    opset: [7, 12],
    rank: [1, 4],
    body(d, shape) {
      const axis = d.int(0, shape.length - 1);
      if (shape[axis]! < 2) return "y = Identity(x)";
      const first = d.int(1, shape[axis]! - 1);
      const even = shape[axis]! % 2 === 0 && d.int(0, 1) === 0;
      return `z, y = Split<axis=${axis}${even ? "" : `, split=${list([first, shape[axis]! - first])}`}>(x)`;
    },
  },
  TopK: {
    opset: [7, 9],
    rank: [1, 3],
    body: (d, shape) => {
      const axis = d.int(0, shape.length - 1);
      return `y, i = TopK<axis=${axis}, k=${d.int(1, shape[axis]!)}>(x)`;
    },
  },
  Dropout: { opset: [7, 11], rank: [1, 3], body: (d) => `y = Dropout<ratio=${real(d.int(0, 4) / 4)}>(x)` },
  Scatter: {
    opset: [9, 10],
    rank: [1, 3],
    body: (d, shape) => {
      const axis = d.int(0, shape.length - 1);
      const one = shape.map(() => 1);
      return `i: int64[${one}] = {${d.int(0, shape[axis]! - 1)}}\nu: float32[${one}] = {9}\ny = Scatter<axis=${axis}>(x, i, u)`;
    },
  },
  "Upsample by an attribute": {
    opset: [7, 8],
    rank: [4, 4],
    body: (d, shape) =>
      `y = Upsample<scales=[${scales(d, shape, [1, 2, 3]).map(real).join(", ")}], mode="${d.pick(["nearest", "linear"])}">(x)`,
  },
  "Upsample by an input": {
    opset: [9, 9],
    rank: [4, 4],
    body: (d, shape) =>
      `${floats("s", scales(d, shape, [1, 2, 3]))}y = Upsample<mode="${d.pick(["nearest", "linear"])}">(x, s)`,
  },
  "Resize of 10": {
    opset: [10, 10],
    rank: [4, 4],
    body: (d, shape) =>
      `${floats(
        "s",
        scales(
          d,
          shape,
          d.pick([
            [1, 1.5, 2.5],
            [0.5, 0.7, 1],
          ]),
        ),
      )}y = Resize<mode="${d.pick(["nearest", "linear"])}">(x, s)`,
  },
  "Resize of 11": {
    opset: [11, 12],
    rank: [4, 4],
    body(d, shape) {
      const mode = d.pick(["nearest", "linear", "cubic"]);
      const how = d.pick(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]);
      const sizes = shape.map((dim, i) => (i < 2 ? dim : d.int(2, 9)));
      return `e: float32[0] = {}\n${ints("z", sizes)}y = Resize<mode="${mode}", coordinate_transformation_mode="${how}">(x, e, e, z)`;
    },
  },
  BatchNormalization: {
    opset: [7, 12],
    rank: [2, 4],
    body: (d, shape) => {
      const each = (name: string, low: number) =>
        floats(
          name,
          Array.from({ length: shape[1]! }, () => d.int(low, 8) / 4),
        );
      return `${each("s", -4)}${each("b", -4)}${each("m", -4)}${each("v", 1)}y = BatchNormalization<epsilon=0.01>(x, s, b, m, v)`;
    },
  },
  Scan: {
    opset: [8, 8],
    rank: [3, 3],
    body(d, [batch, length, size]) {
      const own = Array.from({ length: batch! }, () => d.int(1, length!));
      const lengths = d.int(0, 1) === 1;
      const first = Array.from({ length: batch! * size! }, (_, i) => i / 4);
      return `${lengths ? ints("l", own) : ""}i: float32[${batch},${size}] = {${first.join(", ")}}
f, y = Scan<num_scan_inputs=1, directions=[${d.int(0, 1)}], body=b (s: float32[${size}], e: float32[${size}]) => (t: float32[${size}], o: float32[${size}]) {
t = Add(s, e)\no = Mul(t, e)\n}>(${lengths ? "l" : '""'}, i, x)`;
    },
  },
  RoiAlign: {
    opset: [10, 12],
    rank: [4, 4],
    body(d) {
      // No sample lies where the image ends, on which side of it being a matter of rounding.
      const box = [d.int(0, 2), d.int(0, 2), d.int(3, 6), d.int(3, 6)].map((v) => v + 0.3);
      const size = `output_height=2, output_width=${d.int(1, 3)}, sampling_ratio=${d.int(1, 2)}`;
      return `${ints("b", [0])}r: float32[1,4] = {${box.join(", ")}}\ny = RoiAlign<${size}>(x, r, b)`;
    },
  },
  "ArgMax and Gather": {
    opset: [7, 12],
    rank: [1, 3],
    body: (d, shape) => {
      const axis = d.int(0, shape.length - 1);
      return `a = ArgMax<axis=${axis}, keepdims=0>(x)\nf = Cast<to=1>(a)\nt = ReduceSum<keepdims=0>(f)\ny = Mul(t, t)`;
    },
  },
};

/** `each` models of every kind, at opsets from 7 to 12. */
export function generatedCases(each: number): readonly GeneratedCase[] {
  return Object.entries(old).flatMap(([name, { opset, rank, body }], kind) =>
    Array.from({ length: each }, (_, i) => {
      const d = drawFrom(kind * 1000 + i);
      const version = d.int(...opset);
      const shape = Array.from({ length: d.int(...rank) }, () => d.int(1, 5));
      const known = shape.map((dim) => (d.int(0, 3) === 0 ? `D${dim}` : dim));
      const data = Array.from({ length: elementCount(shape) }, (_, k) => (((k * 7 + i) % 23) - 9) / 8);
      return {
        name: `${name} ${i}`,
        opset: version,
        model: parse(`<"": ${version}>\nmain (x: float32[${known}]) => (y: float32) {\n${body(d, shape)}\n}`),
        inputs: { x: tensor("float32", shape, data) },
      };
    }),
  );
}
