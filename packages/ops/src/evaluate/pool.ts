import { elementCount } from "@pare/core";
import { eachIndex, type Nd, newData, numbersOf, stridesOf } from "./array.ts";
import { underWindow, windowOf } from "./linear.ts";
import { type Call, type EvaluateRule, type EvaluateRules, input, int, intList, ints } from "./rule.ts";

/** What lies under a window: places in the image, and how many places it has with those in the padding. */
interface Under {
  readonly places: readonly number[];
  readonly padded: number;
}

/** The result's shape, and a walk over the windows of a pooling. */
function windowsOf(call: Call, x: Nd) {
  const [batch, channels, ...spatial] = x.shape as [number, number, ...number[]];
  const window = windowOf(call, spatial, intList(call, "kernel_shape")!, (steps) => call.budget.spend(steps));
  const outArea = elementCount(window.out);
  const shape = [batch, channels, ...window.out];
  call.budget.spend(4 * elementCount(shape) * elementCount(window.kernel));
  const each = (visit: (under: Under, at: number) => void) =>
    eachIndex(window.out, (position, at) => {
      const places: number[] = [];
      underWindow(window, spatial, position, (place) => places.push(place));
      // Places that count as padding: beyond it, where ceil_mode lets a window hang over, there is nothing.
      const padded = elementCount(
        window.kernel.map((k, i) => {
          const start = position[i]! * window.strides[i]! - window.begin[i]!;
          const left = Math.ceil((window.end[i]! - start) / window.dilations[i]!);
          return Math.max(0, Math.min(k, left));
        }),
      );
      visit({ places, padded }, at);
    });
  return { shape, outArea, area: elementCount(spatial), planes: batch * channels, each };
}

/** Pools each channel: `f` gets the values under the window. */
const pool =
  (f: (values: readonly number[], padded: number, call: Call) => number): EvaluateRule =>
  (call) => {
    const x = input(call, 0);
    const { shape, outArea, area, planes, each } = windowsOf(call, x);
    const image = numbersOf(x);
    const data = newData("float64", shape) as Float64Array;
    each(({ places, padded }, at) => {
      for (let p = 0; p < planes; p++)
        data[p * outArea + at] = f(
          places.map((i) => image[p * area + i]!),
          padded,
          call,
        );
    });
    return [{ dtype: x.dtype, shape, data }];
  };

/** The largest under each window, and where in the whole tensor it stands. */
const maxPool: EvaluateRule = (call) => {
  const x = input(call, 0);
  const spatial = x.shape.slice(2);
  const { shape, outArea, area, planes, each } = windowsOf(call, x);
  const image = numbersOf(x);
  // Column major places count the axes of the image the other way round.
  const byColumn = int(call, "storage_order", 0) === 1;
  const [rowSteps, columnSteps] = [stridesOf(spatial), stridesOf([...spatial].reverse()).reverse()];
  const stored = (place: number) =>
    byColumn
      ? rowSteps.reduce((sum, step, i) => sum + (Math.floor(place / step) % spatial[i]!) * columnSteps[i]!, 0)
      : place;
  const data = newData("float64", shape) as Float64Array;
  const indices = newData("int64", shape) as BigInt64Array;
  each(({ places }, at) => {
    for (let p = 0; p < planes; p++) {
      let best = places[0] ?? 0;
      for (const i of places) if (image[p * area + i]! > image[p * area + best]!) best = i;
      data[p * outArea + at] = places.length === 0 ? Number.NEGATIVE_INFINITY : image[p * area + best]!;
      indices[p * outArea + at] = BigInt(p * area + stored(best));
    }
  });
  return [
    { dtype: x.dtype, shape, data },
    { dtype: "int64", shape, data: indices },
  ];
};

/** Puts values back where a MaxPool found them. */
const maxUnpool: EvaluateRule = (call) => {
  const [x, places] = [input(call, 0), input(call, 1)];
  const kernel = intList(call, "kernel_shape")!;
  const strides = intList(call, "strides") ?? kernel.map(() => 1);
  const pads = intList(call, "pads") ?? new Array<number>(2 * kernel.length).fill(0);
  const natural = kernel.map((k, i) => (x.shape[i + 2]! - 1) * strides[i]! - pads[i]! - pads[i + kernel.length]! + k);
  const small = [...x.shape.slice(0, 2), ...natural];
  const shape = ints(call, 2) ?? small;
  const data = newData("float64", shape) as Float64Array;
  const [from, to] = [stridesOf(small), stridesOf(shape)];
  places.data.forEach((place: number | bigint, i: number) => {
    const at = from.reduce((sum, step, k) => sum + (Math.floor(Number(place) / step) % small[k]!) * to[k]!, 0);
    data[at] = Number(x.data[i]);
  });
  return [{ dtype: x.dtype, shape, data }];
};

const globalPool =
  (f: (values: readonly number[], call: Call) => number): EvaluateRule =>
  (call) => {
    const x = input(call, 0);
    const [batch, channels, ...spatial] = x.shape as [number, number, ...number[]];
    const area = elementCount(spatial);
    const image = numbersOf(x);
    const data = Float64Array.from({ length: batch * channels }, (_, p) =>
      f(Array.from(image.subarray(p * area, (p + 1) * area)), call),
    );
    return [{ dtype: x.dtype, shape: [batch, channels, ...spatial.map(() => 1)], data }];
  };

const total = (values: readonly number[]) => values.reduce((s, v) => s + v, 0);
const largest = (values: readonly number[]) => values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
const norm = (values: readonly number[], call: Call) => {
  const p = int(call, "p", 2);
  return total(values.map((v) => Math.abs(v) ** p)) ** (1 / p);
};

export const pools: EvaluateRules = {
  MaxPool: maxPool,
  AveragePool: pool(
    (values, padded, call) => total(values) / (int(call, "count_include_pad", 0) === 1 ? padded : values.length),
  ),
  LpPool: pool((values, _, call) => norm(values, call)),
  MaxUnpool: maxUnpool,
  GlobalAveragePool: globalPool((values) => total(values) / values.length),
  GlobalMaxPool: globalPool(largest),
  GlobalLpPool: globalPool(norm),
};
