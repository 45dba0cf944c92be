import { attribute, elementCount, failure, type ResidentTensor } from "@pare/core";
import {
  broadcastPositions,
  broadcastShape,
  checkShape,
  eachIndex,
  fromTensor,
  gathered,
  isWideData,
  type Nd,
  nd,
  newData,
  numbersOf,
  reshaped,
  stridesOf,
  wholeAxis,
} from "./array.ts";
import { type Call, type EvaluateRule, type EvaluateRules, input, int, intList, ints, text } from "./rule.ts";

const wrong = ({ node }: Call, message: string) => failure("ops/shape", `${node.op}: ${message}`);

const reshape: EvaluateRule = (call) => {
  const x = input(call, 0);
  const given = ints(call, 1)!;
  const zeros = int(call, "allowzero", 0) === 1;
  const shape = given.map((d, i) => (d === 0 && !zeros ? x.shape[i]! : d));
  const rest = shape.filter((d) => d !== -1).reduce((n, d) => n * d, 1);
  const whole = shape.map((d) => (d === -1 ? elementCount(x.shape) / rest : d));
  if (whole.some((d) => !(d >= 0)) || elementCount(whole) !== elementCount(x.shape))
    throw wrong(call, `[${x.shape}] cannot be seen as [${given}]`);
  return [reshaped(x, whole)];
};

const squeeze: EvaluateRule = (call) => {
  const x = input(call, 0);
  const axes = ints(call, 1)?.map((a) => wholeAxis(a, x.shape.length));
  return [
    reshaped(
      x,
      x.shape.filter((d, axis) => (axes ? !axes.includes(axis) : d !== 1)),
    ),
  ];
};

const unsqueeze: EvaluateRule = (call) => {
  const x = input(call, 0);
  const given = ints(call, 1)!;
  const rank = x.shape.length + given.length;
  const axes = new Set(given.map((a) => wholeAxis(a, rank)));
  const rest = [...x.shape];
  return [
    reshaped(
      x,
      Array.from({ length: rank }, (_, axis) => (axes.has(axis) ? 1 : rest.shift()!)),
    ),
  ];
};

const transpose: EvaluateRule = (call) => {
  const x = input(call, 0);
  const perm = intList(call, "perm") ?? x.shape.map((_, i) => x.shape.length - 1 - i);
  const strides = stridesOf(x.shape);
  const shape = perm.map((axis) => x.shape[axis]!);
  const positions = new Int32Array(x.data.length);
  eachIndex(shape, (index, flat) => {
    positions[flat] = index.reduce((sum, i, k) => sum + i * strides[perm[k]!]!, 0);
  });
  return [gathered(x, shape, positions)];
};

export const concat: EvaluateRule = (call) => {
  const parts = call.inputs as readonly Nd[];
  const first = input(call, 0);
  const axis = wholeAxis(int(call, "axis", 0), first.shape.length);
  const alike = (p: Nd) =>
    p.shape.length === first.shape.length && p.shape.every((d, k) => k === axis || d === first.shape[k]);
  if (!parts.every(alike)) {
    const together = parts.map((p) => `[${p.shape}]`).join(" and ");
    throw wrong(call, `${together} do not go together`);
  }
  const shape = first.shape.map((d, k) => (k === axis ? parts.reduce((n, p) => n + p.shape[axis]!, 0) : d));
  const inner = shape.slice(axis + 1).reduce((n, d) => n * d, 1);
  const outer = shape.slice(0, axis).reduce((n, d) => n * d, 1);
  const data = newData(first.dtype, shape);
  let at = 0;
  for (let o = 0; o < outer; o++)
    for (const p of parts) {
      const run = p.shape[axis]! * inner;
      for (let i = 0; i < run; i++) data[at++] = p.data[o * run + i]!;
    }
  return [{ dtype: first.dtype, shape, data }];
};

/** Elements of `x` at `starts + index * steps`. */
function strided(x: Nd, starts: readonly number[], steps: readonly number[], shape: readonly number[]): Nd {
  checkShape(shape);
  const strides = stridesOf(x.shape);
  const positions = new Int32Array(elementCount(shape));
  eachIndex(shape, (index, flat) => {
    positions[flat] = index.reduce((sum, i, axis) => sum + (starts[axis]! + i * steps[axis]!) * strides[axis]!, 0);
  });
  return gathered(x, shape, positions);
}

const slice: EvaluateRule = (call) => {
  const x = input(call, 0);
  const [from, to] = [ints(call, 1)!, ints(call, 2)!];
  const axes = (ints(call, 3) ?? from.map((_, i) => i)).map((a) => wholeAxis(a, x.shape.length));
  const by = ints(call, 4) ?? from.map(() => 1);
  const starts = x.shape.map(() => 0);
  const steps = x.shape.map(() => 1);
  const shape = [...x.shape];
  axes.forEach((axis, i) => {
    const size = x.shape[axis]!;
    const step = by[i]!;
    if (step === 0) throw wrong(call, "a step of 0");
    const clamp = (v: number, low: number, high: number) => Math.max(low, Math.min(high, v < 0 ? v + size : v));
    // Of an axis without elements nothing is taken: the upper bound counts before the lower.
    const start = step > 0 ? clamp(from[i]!, 0, size) : Math.min(clamp(from[i]!, 0, size - 1), size - 1);
    const end = step > 0 ? clamp(to[i]!, 0, size) : clamp(to[i]!, -1, size - 1);
    starts[axis] = start;
    steps[axis] = step;
    shape[axis] = Math.max(0, Math.ceil((end - start) / step));
  });
  return [strided(x, starts, steps, shape)];
};

export const split: EvaluateRule = (call) => {
  const x = input(call, 0);
  const axis = wholeAxis(int(call, "axis", 0), x.shape.length);
  const size = x.shape[axis]!;
  const parts = int(call, "num_outputs", call.node.outputs.length);
  if (!(parts > 0 && parts <= Math.max(size, call.node.outputs.length))) throw wrong(call, `${parts} parts of ${size}`);
  const each = Math.ceil(size / parts);
  call.budget.spend(2 ** 12 * (call.inputs[1]?.data.length ?? parts));
  const sizes = ints(call, 1) ?? Array.from({ length: parts }, (_, i) => Math.min(each, size - i * each));
  if (sizes.some((s) => !(s >= 0)) || sizes.reduce((a, b) => a + b, 0) !== size)
    throw wrong(call, `[${sizes}] of ${size}`);
  let start = 0;
  return sizes.map((part) => {
    const starts = x.shape.map((_, k) => (k === axis ? start : 0));
    start += part;
    return strided(
      x,
      starts,
      x.shape.map(() => 1),
      x.shape.map((d, k) => (k === axis ? part : d)),
    );
  });
};

const gather: EvaluateRule = (call) => {
  const [x, indices] = [input(call, 0), input(call, 1)];
  const axis = wholeAxis(int(call, "axis", 0), x.shape.length);
  const size = x.shape[axis]!;
  const at = Array.from(numbersOf(indices), (i) => wholeAxis(i, size));
  const inner = x.shape.slice(axis + 1).reduce((n, d) => n * d, 1);
  const outer = x.shape.slice(0, axis).reduce((n, d) => n * d, 1);
  const shape = [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)];
  checkShape(shape);
  const positions: number[] = [];
  for (let o = 0; o < outer; o++)
    for (const i of at) for (let k = 0; k < inner; k++) positions.push((o * size + i) * inner + k);
  return [gathered(x, shape, positions)];
};

const gatherElements: EvaluateRule = (call) => {
  const [x, indices] = [input(call, 0), input(call, 1)];
  const axis = wholeAxis(int(call, "axis", 0), x.shape.length);
  const strides = stridesOf(x.shape);
  const at = numbersOf(indices);
  const positions = new Int32Array(at.length);
  eachIndex(indices.shape, (index, flat) => {
    positions[flat] = index.reduce(
      (sum, i, k) => sum + (k === axis ? wholeAxis(at[flat]!, x.shape[axis]!) : i) * strides[k]!,
      0,
    );
  });
  return [gathered(x, indices.shape, positions)];
};

const expand: EvaluateRule = (call) => {
  const x = input(call, 0);
  const shape = broadcastShape(x.shape, ints(call, 1)!);
  return [gathered(x, shape, broadcastPositions(x.shape, shape))];
};

const tile: EvaluateRule = (call) => {
  const x = input(call, 0);
  const repeats = ints(call, 1)!;
  const shape = x.shape.map((d, axis) => d * repeats[axis]!);
  checkShape(shape);
  const strides = stridesOf(x.shape);
  const positions = new Int32Array(elementCount(shape));
  eachIndex(shape, (index, flat) => {
    positions[flat] = index.reduce((sum, i, axis) => sum + (i % x.shape[axis]!) * strides[axis]!, 0);
  });
  return [gathered(x, shape, positions)];
};

const pad: EvaluateRule = (call) => {
  const x = input(call, 0);
  const rank = x.shape.length;
  const given = ints(call, 1)!;
  const axes = (ints(call, 3) ?? x.shape.map((_, i) => i)).map((a) => wholeAxis(a, rank));
  const before = x.shape.map(() => 0);
  const after = x.shape.map(() => 0);
  axes.forEach((axis, i) => {
    before[axis] = given[i]!;
    after[axis] = given[i + axes.length]!;
  });
  const mode = text(call, "mode", "constant");
  const shape = x.shape.map((d, axis) => Math.max(0, d + before[axis]! + after[axis]!));
  const strides = stridesOf(x.shape);
  const data = newData(x.dtype, shape);
  const fill = call.inputs[2]?.data[0] ?? (isWideData(data) ? 0n : 0);
  eachIndex(shape, (index, flat) => {
    let at = 0;
    for (let axis = 0; axis < rank; axis++) {
      const size = x.shape[axis]!;
      let i = index[axis]! - before[axis]!;
      if (i < 0 || i >= size) {
        if (mode === "constant") {
          data[flat] = fill;
          return;
        }
        if (mode === "edge") i = i < 0 ? 0 : size - 1;
        else if (mode === "wrap") i = ((i % size) + size) % size;
        else {
          const period = Math.max(1, 2 * (size - 1));
          const m = ((i % period) + period) % period;
          i = m < size ? m : period - m;
        }
      }
      at += i * strides[axis]!;
    }
    data[flat] = x.data[at]!;
  });
  return [{ dtype: x.dtype, shape, data }];
};

const shapeOf: EvaluateRule = (call) => {
  const { shape } = input(call, 0);
  const rank = shape.length;
  const clamp = (v: number) => Math.max(0, Math.min(rank, v < 0 ? v + rank : v));
  const part = shape.slice(clamp(int(call, "start", 0)), clamp(int(call, "end", rank)));
  return [nd("int64", [part.length], part)];
};

const constantOfShape: EvaluateRule = (call) => {
  const shape = ints(call, 0)!;
  const filled = attribute(call.node, "value", "tensor") as ResidentTensor | undefined;
  const value = filled ? fromTensor(filled) : nd("float32", [1], [0]);
  const data = newData(value.dtype, shape);
  if (isWideData(data)) data.fill(value.data[0] as bigint);
  else data.fill(value.data[0] as number);
  return [{ dtype: value.dtype, shape, data }];
};

const range: EvaluateRule = (call) => {
  const [start, limit, step] = [input(call, 0), input(call, 1), input(call, 2)];
  const [a, b, c] = [start, limit, step].map((x) => Number(x.data[0])) as [number, number, number];
  const count = Math.max(0, Math.ceil((b - a) / c));
  checkShape([count]);
  return [
    nd(
      start.dtype,
      [count],
      Array.from({ length: count }, (_, i) => a + i * c),
    ),
  ];
};

export const shapes: EvaluateRules = {
  Reshape: reshape,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  Transpose: transpose,
  Concat: concat,
  Slice: slice,
  Split: split,
  Gather: gather,
  GatherElements: gatherElements,
  Expand: expand,
  Tile: tile,
  Pad: pad,
  Shape: shapeOf,
  Size: (call) => [nd("int64", [], [elementCount(input(call, 0).shape)])],
  ConstantOfShape: constantOfShape,
  Range: range,
  Dropout: (call) => {
    const x = input(call, 0);
    if (call.inputs[2]?.data[0] && Number(call.inputs[1]?.data[0] ?? 0.5) !== 0)
      throw failure("ops/no-rule", "Dropout in training is random, and not evaluated");
    return [x, { dtype: "bool", shape: x.shape, data: new Float64Array(x.data.length).fill(1) }];
  },
};
