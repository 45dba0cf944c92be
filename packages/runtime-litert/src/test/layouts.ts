import { attr, elementCount, type Model, tensor } from "@pare/core";
import { buildGraph, type GraphBuilder, trainedLike } from "@pare/testing";

interface Value {
  readonly name: string;
  readonly shape: readonly number[];
}

interface Site {
  readonly b: GraphBuilder;
  readonly x: Value;
  readonly all: readonly Value[];
  /** A number below `count`. */
  choose(count: number): number;
}

/** What is done to a value; undefined where it cannot be done. */
type Motif = (s: Site) => Value | undefined;

/** Stands for the batch where that is open: a prime, so that no other dimension is a multiple of it. */
const BATCH = 101;
const isBatch = (d: number) => d % BATCH === 0;
/** Elements for a batch of one. */
const sizeOf = (shape: readonly number[]) => elementCount(shape.map((d) => (isBatch(d) ? d / BATCH : d)));
/** Sizes are few, so that dimensions are often equal: what goes wrong with them unequal shows in the shape. */
const MOST = 600;

/** Thrown where a constant would depend on the batch. */
class Skipped extends Error {}
const ints = (values: readonly number[]) => tensor("int64", [values.length], [...values]);
const without = (shape: readonly number[], axis: number) => shape.filter((_, i) => i !== axis);
const withAt = (shape: readonly number[], axis: number, d: number) => shape.map((v, i) => (i === axis ? d : v));

function broadcast(a: readonly number[], b: readonly number[]): number[] | undefined {
  const rank = Math.max(a.length, b.length);
  const shape = Array.from({ length: rank }, (_, i) => {
    const [p, q] = [a[a.length - rank + i] ?? 1, b[b.length - rank + i] ?? 1];
    return p === q || q === 1 ? p : p === 1 ? q : -1;
  });
  return shape.includes(-1) ? undefined : shape;
}

function weight({ b, choose }: Site, shape: readonly number[]): string {
  if (shape.some(isBatch)) throw new Skipped();
  return b.weight(trainedLike(shape, choose(50)));
}
const axisOf = ({ x, choose }: Site) => choose(Math.max(1, x.shape.length));
/** An axis that is not the batch. */
function innerAxisOf(s: Site): number {
  const axis = axisOf(s);
  if (isBatch(s.x.shape[axis]!)) throw new Skipped();
  return axis;
}
const withoutBatch = (shape: readonly number[]) => {
  if (shape.some(isBatch)) throw new Skipped();
};

const unary: Motif = ({ b, x, choose }) => {
  const op = ["Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSwish", "Neg", "Abs", "Elu", "Softplus"][choose(9)]!;
  return { name: b.op(op, [x.name]), shape: x.shape };
};

const withConstant: Motif = (s) => {
  const kept = s.x.shape.map((d) => (s.choose(2) && !isBatch(d) ? d : 1)).slice(s.choose(s.x.shape.length + 1));
  const w = weight(s, kept);
  const op = ["Add", "Sub", "Mul", "Max"][s.choose(4)]!;
  return { name: s.b.op(op, s.choose(2) ? [s.x.name, w] : [w, s.x.name]), shape: s.x.shape };
};

const withOther: Motif = ({ b, x, all, choose }) => {
  const other = all[choose(all.length)]!;
  const shape = broadcast(x.shape, other.shape);
  if (!shape || sizeOf(shape) > MOST) return undefined;
  return { name: b.op(["Add", "Sub", "Mul", "Min"][choose(4)]!, [x.name, other.name]), shape };
};

const transpose: Motif = ({ b, x, choose }) => {
  const rest = x.shape.map((_, i) => i);
  const perm = x.shape.map(() => rest.splice(choose(rest.length), 1)[0]!);
  return { name: b.op("Transpose", [x.name], { perm: attr.ints(perm) }), shape: perm.map((i) => x.shape[i]!) };
};

const channelsTurned: Motif = ({ b, x, choose }) => {
  if (x.shape.length !== 4) return undefined;
  const perm = choose(2) ? [0, 2, 3, 1] : [0, 3, 1, 2];
  return { name: b.op("Transpose", [x.name], { perm: attr.ints(perm) }), shape: perm.map((i) => x.shape[i]!) };
};

const reshape: Motif = ({ b, x, choose }) => {
  const shape = [...x.shape];
  for (let n = choose(3); n >= 0; n--) {
    const at = choose(Math.max(1, shape.length - 1));
    if (choose(2) && shape.length > 1) shape.splice(at, 2, shape[at]! * shape[at + 1]!);
    else if (shape.length < 5 && !isBatch(shape[at] ?? 1)) {
      const whole = shape[at] ?? 1;
      const parts = [1, 2, 3, 4, 6].filter((d) => whole % d === 0);
      const part = parts[choose(parts.length)]!;
      shape.splice(at, 1, part, whole / part);
    }
  }
  const told = shape.map((d) => (isBatch(d) ? -1 : d));
  if (told.filter((d) => d < 0).length > 1) return undefined;
  return { name: b.op("Reshape", [x.name, b.weight(ints(told))]), shape };
};

const conv: Motif = (s) => {
  const { b, x, choose } = s;
  const [n, c, ...spatial] = x.shape;
  if (spatial.length < 1 || spatial.length > 2) return undefined;
  withoutBatch([c!, ...spatial]);
  const kernel = spatial.map(() => [1, 2, 3][choose(3)]!);
  const strides = spatial.map(() => 1 + choose(2));
  const dilations = spatial.map((_, i) => (strides[i] === 1 ? 1 + choose(2) : 1));
  const pads = [...kernel, ...kernel].map((k) => choose(k));
  const group = choose(3) === 0 ? c! : c! % 2 === 0 && choose(3) === 0 ? 2 : 1;
  const out = group * [1, 2][choose(2)]!;
  const sizes = spatial.map((d, i) =>
    Math.floor((d + pads[i]! + pads[spatial.length + i]! - (kernel[i]! - 1) * dilations[i]! - 1) / strides[i]! + 1),
  );
  if (sizes.some((d) => d <= 0)) return undefined;
  const inputs = [x.name, weight(s, [out, c! / group, ...kernel]), ...(choose(2) ? [weight(s, [out])] : [])];
  const attributes = {
    strides: attr.ints(strides),
    dilations: attr.ints(dilations),
    pads: attr.ints(pads),
    group: attr.int(group),
  };
  return { name: b.op("Conv", inputs, attributes), shape: [n!, out, ...sizes] };
};

const convTranspose: Motif = (s) => {
  const { b, x, choose } = s;
  const [n, c, ...spatial] = x.shape;
  if (spatial.length !== 2) return undefined;
  withoutBatch([c!, ...spatial]);
  const [stride, pad, extra] = [1 + choose(2), choose(2), choose(2)];
  const sizes = spatial.map((d) => (d - 1) * stride + 3 - 2 * pad + (extra && stride > 1 ? 1 : 0));
  if (sizes.some((d) => d <= 0) || sizeOf([n!, 2, ...sizes]) > MOST) return undefined;
  const attributes = {
    strides: attr.ints([stride, stride]),
    pads: attr.ints([pad, pad, pad, pad]),
    output_padding: attr.ints(extra && stride > 1 ? [1, 1] : [0, 0]),
  };
  return { name: b.op("ConvTranspose", [x.name, weight(s, [c!, 2, 3, 3])], attributes), shape: [n!, 2, ...sizes] };
};

const pool: Motif = ({ b, x, choose }) => {
  const [n, c, ...spatial] = x.shape;
  if (spatial.length !== 2) return undefined;
  withoutBatch([c!, ...spatial]);
  const [stride, ceil] = [1 + choose(2), choose(2)];
  const pads = [0, 0, 0, 0].map(() => choose(2));
  const sizes = spatial.map((d, i) => {
    const places = (d + pads[i]! + pads[2 + i]! - 2) / stride + 1;
    const out = ceil ? Math.ceil(places) : Math.floor(places);
    return ceil && (out - 1) * stride >= d + pads[i]! ? out - 1 : out;
  });
  if (sizes.some((d) => d <= 0)) return undefined;
  const isMax = choose(2);
  const attributes = {
    kernel_shape: attr.ints([2, 2]),
    strides: attr.ints([stride, stride]),
    pads: attr.ints(pads),
    ceil_mode: attr.int(ceil),
    ...(isMax ? {} : { count_include_pad: attr.int(choose(2)) }),
  };
  return { name: b.op(isMax ? "MaxPool" : "AveragePool", [x.name], attributes), shape: [n!, c!, ...sizes] };
};

const normalize: Motif = (s) => {
  const { b, x, choose } = s;
  const c = x.shape[1];
  if (x.shape.length < 3) {
    const last = x.shape.at(-1) ?? 0;
    if (last < 2) return undefined;
    return { name: b.op("LayerNormalization", [x.name, weight(s, [last])]), shape: x.shape };
  }
  const parts = [weight(s, [c!]), weight(s, [c!])];
  switch (choose(4)) {
    case 0: {
      const ones = tensor("float32", [c!], new Float32Array(c!).fill(1.5));
      return { name: b.op("BatchNormalization", [x.name, ...parts, weight(s, [c!]), b.weight(ones)]), shape: x.shape };
    }
    case 1:
      if (elementCount(x.shape.slice(2)) < 2) return undefined;
      return { name: b.op("InstanceNormalization", [x.name, ...parts]), shape: x.shape };
    case 2:
      return { name: b.op("PRelu", [x.name, weight(s, [c!, ...x.shape.slice(2).map(() => 1)])]), shape: x.shape };
    default:
      return {
        name: b.op("GlobalAveragePool", [x.name]),
        shape: [x.shape[0]!, c!, ...x.shape.slice(2).map(() => 1)],
      };
  }
};

const reduce: Motif = ({ b, x, choose }) => {
  const axes = x.shape.map((_, i) => i).filter(() => choose(2));
  if (axes.length === 0) return undefined;
  const keep = choose(2);
  const op = ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2"][choose(4)]!;
  const shape = keep ? x.shape.map((d, i) => (axes.includes(i) ? 1 : d)) : x.shape.filter((_, i) => !axes.includes(i));
  return { name: b.op(op, [x.name, b.weight(ints(axes))], { keepdims: attr.int(keep) }), shape };
};

const softmax: Motif = (s) => {
  if (s.x.shape.length === 0) return undefined;
  const op = ["Softmax", "LogSoftmax"][s.choose(2)]!;
  return { name: s.b.op(op, [s.x.name], { axis: attr.int(axisOf(s)) }), shape: s.x.shape };
};

const concat: Motif = (s) => {
  const { b, x, all, choose } = s;
  if (x.shape.length === 0) return undefined;
  const axis = axisOf(s);
  const fits = all.filter(
    (v) => v.shape.length === x.shape.length && `${without(v.shape, axis)}` === `${without(x.shape, axis)}`,
  );
  const other = fits[choose(fits.length)]!;
  const shape = withAt(x.shape, axis, x.shape[axis]! + other.shape[axis]!);
  if (sizeOf(shape) > MOST) return undefined;
  return { name: b.op("Concat", [x.name, other.name], { axis: attr.int(axis) }), shape };
};

const slice: Motif = (s) => {
  const { b, x, choose } = s;
  if (x.shape.length === 0) return undefined;
  const axis = innerAxisOf(s);
  const d = x.shape[axis]!;
  const start = choose(d);
  const [end, step] = choose(3) === 0 ? [-d - 1, -1 - choose(2)] : [d, 1 + choose(2)];
  const size = Math.ceil((step > 0 ? d - start : start + 1) / Math.abs(step));
  const name = b.op("Slice", [x.name, ...[[start], [end], [axis], [step]].map((v) => b.weight(ints(v)))]);
  return { name, shape: withAt(x.shape, axis, size) };
};

const split: Motif = (s) => {
  const { b, x, choose } = s;
  if (x.shape.length === 0) return undefined;
  const axis = innerAxisOf(s);
  const d = x.shape[axis]!;
  if (d < 2) return undefined;
  const first = 1 + choose(d - 1);
  const parts = b.ops("Split", [x.name, b.weight(ints([first, d - first]))], 2, { axis: attr.int(axis) });
  const which = choose(2);
  return { name: parts[which]!, shape: withAt(x.shape, axis, which ? d - first : first) };
};

const pad: Motif = (s) => {
  const { b, x, choose } = s;
  if (x.shape.length === 0) return undefined;
  const mode = ["constant", "edge", "reflect"][choose(3)]!;
  const pads = [...x.shape, ...x.shape].map((d) => ((mode === "reflect" && d < 2) || isBatch(d) ? 0 : choose(2)));
  const shape = x.shape.map((d, i) => d + pads[i]! + pads[x.shape.length + i]!);
  if (sizeOf(shape) > MOST) return undefined;
  const fill = mode === "constant" && choose(2) ? [b.weight(tensor("float32", [], [0.5]))] : [];
  return { name: b.op("Pad", [x.name, b.weight(ints(pads)), ...fill], { mode: attr.string(mode) }), shape };
};

const gather: Motif = (s) => {
  const { b, x, choose } = s;
  if (x.shape.length === 0) return undefined;
  const axis = innerAxisOf(s);
  const d = x.shape[axis]!;
  const isOne = choose(3) === 0;
  const at = isOne ? tensor("int64", [], [choose(d)]) : ints([choose(d), choose(d) - d, choose(d)]);
  const shape = isOne ? without(x.shape, axis) : withAt(x.shape, axis, 3);
  if (sizeOf(shape) > MOST) return undefined;
  return { name: b.op("Gather", [x.name, b.weight(at)], { axis: attr.int(axis) }), shape };
};

const matmul: Motif = (s) => {
  const { b, x, choose } = s;
  if (x.shape.length < 2) return undefined;
  const [rows, inner] = x.shape.slice(-2) as [number, number];
  if (choose(2)) return { name: b.op("MatMul", [x.name, weight(s, [inner, 3])]), shape: [...x.shape.slice(0, -1), 3] };
  const perm = x.shape.map((_, i) => i);
  perm.push(perm.splice(-2, 1)[0]!);
  const turned = b.op("Transpose", [x.name], { perm: attr.ints(perm) });
  return { name: b.op("MatMul", [x.name, turned]), shape: [...x.shape.slice(0, -1), rows] };
};

const gemm: Motif = (s) => {
  const { b, x } = s;
  if (x.shape.length < 2) return undefined;
  const width = elementCount(x.shape.slice(1));
  const flat = b.op("Flatten", [x.name]);
  const inputs = [flat, weight(s, [5, width]), weight(s, [5])];
  return { name: b.op("Gemm", inputs, { transB: attr.int(1) }), shape: [x.shape[0]!, 5] };
};

const squeeze: Motif = ({ b, x, choose }) => {
  const ones = x.shape.map((d, i) => (d === 1 ? i : -1)).filter((i) => i >= 0);
  if (ones.length > 0 && choose(2)) {
    const axis = ones[choose(ones.length)]!;
    return { name: b.op("Squeeze", [x.name, b.weight(ints([axis]))]), shape: without(x.shape, axis) };
  }
  if (x.shape.length >= 5) return undefined;
  const axis = choose(x.shape.length + 1);
  const shape = [...x.shape.slice(0, axis), 1, ...x.shape.slice(axis)];
  return { name: b.op("Unsqueeze", [x.name, b.weight(ints([axis]))]), shape };
};

const resize: Motif = ({ b, x, choose }) => {
  if (x.shape.length !== 4) return undefined;
  withoutBatch(x.shape.slice(1));
  const sizes = x.shape.slice(2).map((d) => d + choose(3));
  const shape = [...x.shape.slice(0, 2), ...sizes];
  if (sizeOf(shape) > MOST) return undefined;
  const attributes = {
    mode: attr.string(["nearest", "linear"][choose(2)]!),
    coordinate_transformation_mode: attr.string(["half_pixel", "asymmetric", "align_corners"][choose(3)]!),
    nearest_mode: attr.string(["floor", "round_prefer_ceil", "round_prefer_floor"][choose(3)]!),
  };
  return {
    name: b.op("Resize", [x.name, "", "", b.weight(ints(sizes))], { ...attributes, axes: attr.ints([2, 3]) }),
    shape,
  };
};

const blocks: Motif = ({ b, x, choose }) => {
  if (x.shape.length !== 4) return undefined;
  const [n, c, h, w] = x.shape as [number, number, number, number];
  withoutBatch([c, h, w]);
  if (choose(2) && c % 4 === 0) {
    const mode = attr.string(["DCR", "CRD"][choose(2)]!);
    const name = b.op("DepthToSpace", [x.name], { blocksize: attr.int(2), mode });
    return { name, shape: [n, c / 4, 2 * h, 2 * w] };
  }
  if (h % 2 || w % 2) return undefined;
  return { name: b.op("SpaceToDepth", [x.name], { blocksize: attr.int(2) }), shape: [n, 4 * c, h / 2, w / 2] };
};

const expand: Motif = ({ b, x, choose }) => {
  const shape = x.shape.map((d) => (d === 1 && choose(2) ? 2 : d));
  if (choose(3) === 0 && shape.length < 4) shape.unshift(2);
  if (sizeOf(shape) > MOST) return undefined;
  const told = shape.map((d) => (isBatch(d) ? 1 : d));
  return { name: b.op("Expand", [x.name, b.weight(ints(told))]), shape };
};

const where: Motif = ({ b, x, all, choose }) => {
  const same = all.filter((v) => `${v.shape}` === `${x.shape}`);
  const isAbove = b.op("Greater", [x.name, b.weight(tensor("float32", [], [0.1]))]);
  return { name: b.op("Where", [isAbove, x.name, same[choose(same.length)]!.name]), shape: x.shape };
};

const cumsum: Motif = (s) => {
  if (s.x.shape.length === 0) return undefined;
  const axis = s.b.weight(tensor("int64", [], [axisOf(s)]));
  return { name: s.b.op("CumSum", [s.x.name, axis], { reverse: attr.int(s.choose(2)) }), shape: s.x.shape };
};

const motifs: readonly Motif[] = [
  ...[unary, withConstant, withOther, transpose, channelsTurned, reshape, conv, conv, convTranspose, pool, normalize],
  ...[reduce, softmax, concat, slice, split, pad, gather, matmul, gemm, squeeze, resize, blocks, expand, where, cumsum],
];

/**
 * The model that a tape of numbers means: up to 12 operators in any order on small values of any rank, most of which care about
 * the order of dimensions. Its batch may be open: then it is `N`.
 */
export function layoutModel(tape: readonly number[], open = false): Model {
  let at = 0;
  const choose = (count: number) => (tape[at++] ?? 0) % count;
  const b = buildGraph();
  const side = [4, 2, 3][choose(3)]!;
  const [one, two] = open ? [BATCH, BATCH] : [1, 2];
  const shapes = [
    [one, 4, 4, side],
    [two, 4, side, 3],
    [4, 4, 4],
  ];
  const all: Value[] = shapes.slice(0, 1 + choose(3)).map((shape, i) => {
    const declared = shape.map((d) => (isBatch(d) ? "N" : d));
    return { name: b.input("float32", declared, `x${i}`), shape };
  });
  for (let n = 2 + choose(11); n > 0; n--) {
    const x = all[all.length - 1 - choose(Math.min(3, all.length))]!;
    try {
      const made = motifs[choose(motifs.length)]!({ b, x, all, choose });
      if (made) all.push(made);
    } catch (error) {
      if (!(error instanceof Skipped)) throw error;
    }
  }
  const outputs = all.slice(-1 - choose(3)).filter((v) => !v.name.startsWith("x"));
  const given = outputs.length > 0 ? outputs : [{ name: b.op("Neg", [all[0]!.name]), shape: all[0]!.shape }];
  for (const { name, shape } of given) b.output(name, "float32", open ? undefined : shape);
  return b.model({ opsets: new Map([["", 27]]) });
}
