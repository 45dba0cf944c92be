import { elementCount, failure } from "@pare/core";
import { checkShape, eachIndex, gathered, isWide, type Nd, newData, numbersOf, stridesOf, wholeAxis } from "./array.ts";
import { type Call, type EvaluateRule, type EvaluateRules, input, int, ints, text } from "./rule.ts";

/** How an update goes into the element that is there. */
function joined(call: Call, data: Nd["data"], at: number, update: number | bigint): void {
  const old = data[at]!;
  const by = (plain: (a: number, b: number) => number, wide: (a: bigint, b: bigint) => bigint) =>
    typeof old === "bigint" ? wide(old, update as bigint) : plain(old, update as number);
  switch (text(call, "reduction", "none")) {
    case "none":
      data[at] = update as never;
      return;
    case "add":
      data[at] = by(
        (a, b) => a + b,
        (a, b) => a + b,
      ) as never;
      return;
    case "mul":
      data[at] = by(
        (a, b) => a * b,
        (a, b) => a * b,
      ) as never;
      return;
    case "max":
      data[at] = (old > update ? old : update) as never;
      return;
    case "min":
      data[at] = (old < update ? old : update) as never;
      return;
    default:
      throw failure("ops/attribute", `${call.node.op}: ${text(call, "reduction", "none")} is no reduction`);
  }
}

const copyOf = (x: Nd): Nd["data"] => x.data.slice() as Nd["data"];

const scatterElements: EvaluateRule = (call) => {
  const [x, indices, updates] = [input(call, 0), input(call, 1), input(call, 2)];
  const axis = wholeAxis(int(call, "axis", 0), x.shape.length);
  if (String(indices.shape) !== String(updates.shape))
    throw failure("ops/shape", `ScatterElements: [${updates.shape}] for [${indices.shape}]`);
  const strides = stridesOf(x.shape);
  const at = numbersOf(indices);
  const data = copyOf(x);
  eachIndex(indices.shape, (index, flat) => {
    const to = index.reduce((sum, i, k) => sum + (k === axis ? wholeAxis(at[flat]!, x.shape[k]!) : i) * strides[k]!, 0);
    joined(call, data, to, updates.data[flat]!);
  });
  return [{ ...x, data }];
};

/** Where the slices begin that rows of an index tensor name, after `batch` axes that both have. */
function slicesOf(x: Nd, indices: Nd, batch: number): { readonly starts: number[]; readonly size: number } {
  const depth = indices.shape.at(-1)!;
  const strides = stridesOf(x.shape);
  const rows = elementCount(indices.shape.slice(0, -1));
  const perBatch = rows / elementCount(x.shape.slice(0, batch));
  const at = numbersOf(indices);
  const whole = elementCount(x.shape.slice(batch));
  const starts = Array.from({ length: rows }, (_, row) => {
    let start = Math.floor(row / perBatch) * whole;
    for (let k = 0; k < depth; k++) start += wholeAxis(at[row * depth + k]!, x.shape[batch + k]!) * strides[batch + k]!;
    return start;
  });
  return { starts, size: elementCount(x.shape.slice(batch + depth)) };
}

const gatherND: EvaluateRule = (call) => {
  const [x, indices] = [input(call, 0), input(call, 1)];
  const batch = int(call, "batch_dims", 0);
  const { starts, size } = slicesOf(x, indices, batch);
  const shape = [...indices.shape.slice(0, -1), ...x.shape.slice(batch + indices.shape.at(-1)!)];
  checkShape(shape);
  return [
    gathered(
      x,
      shape,
      starts.flatMap((start) => Array.from({ length: size }, (_, i) => start + i)),
    ),
  ];
};

const scatterND: EvaluateRule = (call) => {
  const [x, indices, updates] = [input(call, 0), input(call, 1), input(call, 2)];
  const { starts, size } = slicesOf(x, indices, 0);
  if (updates.data.length !== starts.length * size)
    throw failure("ops/shape", `ScatterND: [${updates.shape}] for ${starts.length} slices of ${size}`);
  const data = copyOf(x);
  starts.forEach((start, row) => {
    for (let i = 0; i < size; i++) joined(call, data, start + i, updates.data[row * size + i]!);
  });
  return [{ ...x, data }];
};

/** Writes new positions into a cache, for each batch from where it says. */
const tensorScatter: EvaluateRule = (call) => {
  const [x, update] = [input(call, 0), input(call, 1)];
  const axis = wholeAxis(int(call, "axis", -2), x.shape.length);
  const from = ints(call, 2);
  const size = x.shape[axis]!;
  const fits = update.shape.length === x.shape.length && update.shape.every((d, i) => i === axis || d === x.shape[i]);
  if (!fits) throw failure("ops/shape", `TensorScatter: [${update.shape}] into [${x.shape}]`);
  const strides = stridesOf(x.shape);
  const circular = text(call, "mode", "linear") === "circular";
  const data = copyOf(x);
  eachIndex(update.shape, (index, flat) => {
    const place = (from?.[index[0]!] ?? 0) + index[axis]!;
    const to = circular ? ((place % size) + size) % size : wholeAxis(place, size);
    data[index.reduce((sum, i, k) => sum + (k === axis ? to : i) * strides[k]!, 0)] = update.data[flat]! as never;
  });
  return [{ ...x, data }];
};

const compress: EvaluateRule = (call) => {
  const [x, condition] = [input(call, 0), input(call, 1)];
  const kept = Array.from(numbersOf(condition)).flatMap((c, i) => (c ? [i] : []));
  if (!call.node.attributes.has("axis")) return [gathered(x, [kept.length], kept)];
  const axis = wholeAxis(int(call, "axis", 0), x.shape.length);
  const shape = x.shape.map((d, k) => (k === axis ? kept.length : d));
  checkShape(shape);
  const strides = stridesOf(x.shape);
  const positions: number[] = [];
  eachIndex(shape, (index) =>
    positions.push(index.reduce((sum, i, k) => sum + (k === axis ? kept[i]! : i) * strides[k]!, 0)),
  );
  return [gathered(x, shape, positions)];
};

const nonZero: EvaluateRule = (call) => {
  const x = input(call, 0);
  const found: number[] = [];
  for (let i = 0; i < x.data.length; i++) if (Number(x.data[i]) !== 0) found.push(i);
  const shape = [x.shape.length, found.length];
  const data = newData("int64", shape);
  stridesOf(x.shape).forEach((step, axis) => {
    found.forEach((at, i) => {
      data[axis * found.length + i] = BigInt(Math.floor(at / step) % x.shape[axis]!);
    });
  });
  return [{ dtype: "int64", shape, data }];
};

const oneHot: EvaluateRule = (call) => {
  const [indices, depths, values] = [input(call, 0), input(call, 1), input(call, 2)];
  const depth = Number(depths.data[0]);
  const axis = wholeAxis(int(call, "axis", -1), indices.shape.length + 1);
  const shape = [...indices.shape.slice(0, axis), depth, ...indices.shape.slice(axis)];
  const data = newData(values.dtype, shape);
  const at = numbersOf(indices);
  const inner = elementCount(indices.shape.slice(axis));
  eachIndex(shape, (index, flat) => {
    const own = Math.floor(flat / (inner * depth)) * inner + (flat % inner);
    const hot = at[own]! < 0 ? at[own]! + depth : at[own]!;
    data[flat] = values.data[index[axis] === hot ? 1 : 0]! as never;
  });
  return [{ dtype: values.dtype, shape, data }];
};

const reverseSequence: EvaluateRule = (call) => {
  const x = input(call, 0);
  const lengths = ints(call, 1)!;
  const [batch, time] = [int(call, "batch_axis", 1), int(call, "time_axis", 0)];
  const strides = stridesOf(x.shape);
  const positions = new Int32Array(x.data.length);
  eachIndex(x.shape, (index, flat) => {
    const length = lengths[index[batch]!]!;
    const t = index[time]!;
    positions[flat] = t < length ? flat + (length - 1 - 2 * t) * strides[time]! : flat;
  });
  return [gathered(x, x.shape, positions)];
};

/** The largest or smallest of an axis with their places; of equals the first comes first. */
const topK: EvaluateRule = (call) => {
  const x = input(call, 0);
  const axis = wholeAxis(int(call, "axis", -1), x.shape.length);
  const k = Number(input(call, 1).data[0]);
  const size = x.shape[axis]!;
  if (!(k >= 0 && k <= size)) throw failure("ops/axis", `TopK: ${k} of ${size}`);
  const largest = int(call, "largest", 1) === 1;
  const shape = x.shape.map((d, i) => (i === axis ? k : d));
  const step = stridesOf(x.shape)[axis]!;
  const values = newData(x.dtype, shape);
  const places = newData("int64", shape) as BigInt64Array;
  const compare = (a: number | bigint, b: number | bigint) => (a < b ? -1 : a > b ? 1 : 0);
  for (let row = 0; row < x.data.length / size; row++) {
    const outer = Math.floor(row / step);
    const start = outer * size * step + (row % step);
    const order = Array.from({ length: size }, (_, i) => i).sort((a, b) => {
      const c = compare(x.data[start + a * step]!, x.data[start + b * step]!);
      return (largest ? -c : c) || a - b;
    });
    for (let i = 0; i < k; i++) {
      const to = outer * k * step + (row % step) + i * step;
      values[to] = x.data[start + order[i]! * step]! as never;
      places[to] = BigInt(order[i]!);
    }
  }
  return [
    { dtype: x.dtype, shape, data: values },
    { dtype: "int64", shape, data: places },
  ];
};

/** What occurs, where first, for each element which of them it is, and how often. */
const unique: EvaluateRule = (call) => {
  const x = input(call, 0);
  const flat = !call.node.attributes.has("axis");
  const axis = flat ? 0 : wholeAxis(int(call, "axis", 0), x.shape.length);
  const shape = flat ? [x.data.length] : x.shape;
  const strides = stridesOf(shape);
  call.budget.spend(128 * x.data.length);
  const slices = Array.from({ length: shape[axis]! }, (_, i) => {
    const elements: (number | bigint)[] = [];
    eachIndex(
      shape.map((d, k) => (k === axis ? 1 : d)),
      (index) => elements.push(x.data[index.reduce((sum, j, k) => sum + j * strides[k]!, i * strides[axis]!)]!),
    );
    return elements;
  });
  const found = new Map<string, { first: number; count: number }>();
  const keys = slices.map((s) => s.join());
  keys.forEach((key, i) => {
    const known = found.get(key);
    if (known) known.count++;
    else found.set(key, { first: i, count: 1 });
  });
  const order = [...found];
  const compare = (a: readonly (number | bigint)[], b: readonly (number | bigint)[]) => {
    const k = a.findIndex((v, i) => v !== b[i]);
    return k < 0 ? 0 : a[k]! < b[k]! ? -1 : 1;
  };
  if (int(call, "sorted", 1) === 1) order.sort(([, a], [, b]) => compare(slices[a.first]!, slices[b.first]!));
  const place = new Map(order.map(([key], i) => [key, i]));
  const wanted = order.map(([, { first }]) => first);
  const outShape = shape.map((d, k) => (k === axis ? wanted.length : d));
  const positions: number[] = [];
  eachIndex(outShape, (index) =>
    positions.push(index.reduce((sum, i, k) => sum + (k === axis ? wanted[i]! : i) * strides[k]!, 0)),
  );
  const list = (values: readonly number[]): Nd => ({
    dtype: "int64",
    shape: [values.length],
    data: BigInt64Array.from(values, BigInt),
  });
  return [
    gathered(x, outShape, positions),
    list(wanted),
    list(keys.map((key) => place.get(key)!)),
    list(order.map(([, { count }]) => count)),
  ];
};

/** Keeps what is on one side of a diagonal. */
const trilu: EvaluateRule = (call) => {
  const x = input(call, 0);
  const k = Number(call.inputs[1]?.data[0] ?? 0);
  const upper = int(call, "upper", 1) === 1;
  const data = copyOf(x);
  const zero = isWide(x.dtype) ? 0n : 0;
  eachIndex(x.shape, (index, flat) => {
    const [row, column] = index.slice(-2) as [number, number];
    if (upper ? column - row < k : column - row > k) data[flat] = zero as never;
  });
  return [{ ...x, data }];
};

export const scatters: EvaluateRules = {
  ScatterElements: scatterElements,
  ScatterND: scatterND,
  GatherND: gatherND,
  TensorScatter: tensorScatter,
  Compress: compress,
  NonZero: nonZero,
  OneHot: oneHot,
  ReverseSequence: reverseSequence,
  TopK: topK,
  Unique: unique,
  Trilu: trilu,
};
