import { elementCount, failure } from "@pare/core";
import {
  broadcastPositions,
  broadcastShape,
  eachIndex,
  gathered,
  isWideData,
  type Nd,
  nd,
  newData,
  numbersOf,
  reshaped,
  stridesOf,
} from "./array.ts";
import { type Call, type EvaluateRule, type EvaluateRules, float, input, int, intList, text } from "./rule.ts";

/** numpy's matmul. */
export function matmul({ budget }: Call, a: Nd, b: Nd): Nd {
  const left = a.shape.length === 1 ? reshaped(a, [1, a.shape[0]!]) : a;
  const right = b.shape.length === 1 ? reshaped(b, [b.shape[0]!, 1]) : b;
  const [m, k] = left.shape.slice(-2) as [number, number];
  const n = right.shape.at(-1)!;
  if (
    a.shape.length === 0 ||
    b.shape.length === 0 ||
    right.shape.at(-2) !== k ||
    isWideData(a.data) !== isWideData(b.data)
  )
    throw failure("ops/shape", `[${a.shape}] and [${b.shape}] have no matrix product`);
  const [outerA, outerB] = [left.shape.slice(0, -2), right.shape.slice(0, -2)];
  const outer = broadcastShape(outerA, outerB);
  const [p, q] = [broadcastPositions(outerA, outer), broadcastPositions(outerB, outer)];
  const shape = [...outer, ...(a.shape.length === 1 ? [] : [m]), ...(b.shape.length === 1 ? [] : [n])];
  const data = newData(a.dtype, shape);
  budget.spend(data.length * k);
  const [x, y] = [left.data, right.data];
  for (let o = 0; o < p.length; o++)
    for (let i = 0; i < m; i++)
      for (let t = 0; t < k; t++) {
        const v = x[(p[o]! * m + i) * k + t]!;
        const row = (o * m + i) * n;
        const from = (q[o]! * k + t) * n;
        if (isWideData(data)) for (let j = 0; j < n; j++) data[row + j]! += (v as bigint) * (y[from + j] as bigint);
        else for (let j = 0; j < n; j++) data[row + j]! += (v as number) * (y[from + j] as number);
      }
  return { dtype: a.dtype, shape, data };
}

const transposed = (a: Nd): Nd => {
  const [m, n] = a.shape as [number, number];
  return gathered(
    a,
    [n, m],
    Array.from({ length: m * n }, (_, i) => (i % m) * n + Math.floor(i / m)),
  );
};

const gemm: EvaluateRule = (call) => {
  const a = int(call, "transA", 0) ? transposed(input(call, 0)) : input(call, 0);
  const b = int(call, "transB", 0) ? transposed(input(call, 1)) : input(call, 1);
  const product = matmul(call, a, b);
  const [alpha, beta] = [float(call, "alpha", 1), float(call, "beta", 1)];
  const c = call.inputs[2];
  const at = c && broadcastPositions(c.shape, product.shape);
  const data = numbersOf(product).map((v, i) => alpha * v + (c ? beta * Number(c.data[at![i]!]) : 0));
  return [nd(a.dtype, product.shape, data)];
};

/** What convolution and pooling share: a window that moves over the axes after batch and channel. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly begin: readonly number[];
  /** Where the padding after the image ends. */
  readonly end: readonly number[];
  readonly out: readonly number[];
}

/** Sizes and padding of a window over spatial axes, by the definition of `auto_pad`, `pads` and `ceil_mode`. */
export function windowOf(
  call: Pick<Call, "node">,
  spatial: readonly number[],
  kernel: readonly number[],
  spend: (steps: number) => void = () => {},
): Window {
  const rank = spatial.length;
  const strides = intList(call, "strides") ?? spatial.map(() => 1);
  const dilations = intList(call, "dilations") ?? spatial.map(() => 1);
  const auto = text(call, "auto_pad", "NOTSET");
  const pads = intList(call, "pads") ?? new Array<number>(2 * rank).fill(0);
  if ([...strides, ...dilations].some((v) => !(v > 0)) || pads.some((v) => !(v >= 0)) || pads.length !== 2 * rank)
    throw failure("ops/attribute", `${call.node.op}: strides [${strides}], dilations [${dilations}], pads [${pads}]`);
  const begin: number[] = [];
  const end: number[] = [];
  const out = spatial.map((size, i) => {
    const reach = (kernel[i]! - 1) * dilations[i]! + 1;
    const stride = strides[i]!;
    if (auto.startsWith("SAME")) {
      const count = Math.ceil(size / stride);
      const total = Math.max(0, (count - 1) * stride + reach - size);
      begin.push(auto === "SAME_UPPER" ? Math.floor(total / 2) : Math.ceil(total / 2));
      end.push(size + total - begin[i]!);
      return count;
    }
    const [before, after] = auto === "VALID" ? [0, 0] : [pads[i]!, pads[i + rank]!];
    begin.push(before);
    end.push(size + after);
    const steps = (size + before + after - reach) / stride;
    if (int(call, "ceil_mode", 0) !== 1) return Math.floor(steps) + 1;
    const count = Math.ceil(steps) + 1;
    // A window must start inside the image or the padding before it.
    return (count - 1) * stride >= size + before ? count - 1 : count;
  });
  spend(16 * elementCount(newShape(out)) * elementCount(newShape(kernel)));
  return { kernel, strides, dilations, begin, end, out };
}

function newShape(shape: readonly number[]): readonly number[] {
  if (!shape.every((d) => Number.isSafeInteger(d) && d >= 0)) throw failure("ops/shape", `[${shape}] is no shape`);
  return shape;
}

/** Places in the image under the window at `position`: `visit(offset in the image, offset in the kernel)`; padding is left out. */
export function underWindow(
  w: Window,
  spatial: readonly number[],
  position: readonly number[],
  visit: (at: number, tap: number) => void,
): void {
  const steps = stridesOf(spatial);
  eachIndex(w.kernel, (index, tap) => {
    let at = 0;
    for (let i = 0; i < index.length; i++) {
      const x = position[i]! * w.strides[i]! - w.begin[i]! + index[i]! * w.dilations[i]!;
      if (x < 0 || x >= spatial[i]!) return;
      at += x * steps[i]!;
    }
    visit(at, tap);
  });
}

/** Convolves an image with filters, by the attributes of the node. */
export function conv(call: Call, x: Nd, w: Nd, bias?: Nd): Nd {
  const [batch, channels, ...spatial] = x.shape as [number, number, ...number[]];
  const [filters, depth, ...kernel] = w.shape as [number, number, ...number[]];
  const groups = int(call, "group", 1);
  if (x.shape.length !== w.shape.length || depth * groups !== channels || filters % groups !== 0)
    throw failure("ops/shape", `[${x.shape}] cannot be convolved with [${w.shape}] in ${groups} groups`);
  if (bias && bias.data.length !== filters) throw failure("ops/shape", `${bias.data.length} biases for ${filters}`);
  const window = windowOf(call, spatial, kernel, (steps) => call.budget.spend(steps));
  const [area, taps] = [elementCount(spatial), elementCount(kernel)];
  const shape = [batch, filters, ...window.out];
  call.budget.spend(elementCount(shape) * depth * taps);
  const data = newData("float64", shape) as Float64Array;
  const [image, weight] = [numbersOf(x), numbersOf(w)];
  const outArea = elementCount(window.out);
  eachIndex(window.out, (position, at) => {
    const places: [number, number][] = [];
    underWindow(window, spatial, position, (place, tap) => places.push([place, tap]));
    for (let n = 0; n < batch; n++)
      for (let f = 0; f < filters; f++) {
        const group = Math.floor(f / (filters / groups));
        let sum = bias ? Number(bias.data[f]) : 0;
        for (let c = 0; c < depth; c++) {
          const from = (n * channels + group * depth + c) * area;
          const by = (f * depth + c) * taps;
          for (const [place, tap] of places) sum += image[from + place]! * weight[by + tap]!;
        }
        data[(n * filters + f) * outArea + at] = sum;
      }
  });
  return { dtype: x.dtype, shape, data };
}

const convTranspose: EvaluateRule = (call) => {
  const [x, w] = [input(call, 0), input(call, 1)];
  const bias = call.inputs[2];
  const [batch, channels, ...spatial] = x.shape as [number, number, ...number[]];
  const [, depth, ...kernel] = w.shape as [number, number, ...number[]];
  const groups = int(call, "group", 1);
  const filters = depth * groups;
  if (x.shape.length !== w.shape.length || w.shape[0] !== channels || channels % groups !== 0)
    throw failure("ops/shape", `[${x.shape}] cannot be convolved with [${w.shape}] in ${groups} groups`);
  const rank = spatial.length;
  const strides = intList(call, "strides") ?? spatial.map(() => 1);
  const dilations = intList(call, "dilations") ?? spatial.map(() => 1);
  const extra = intList(call, "output_padding") ?? spatial.map(() => 0);
  const wanted = intList(call, "output_shape");
  const auto = text(call, "auto_pad", "NOTSET");
  const pads = intList(call, "pads") ?? new Array<number>(2 * rank).fill(0);
  const begin: number[] = [];
  const out = spatial.map((size, i) => {
    const full = strides[i]! * (size - 1) + extra[i]! + (kernel[i]! - 1) * dilations[i]! + 1;
    if (wanted || auto.startsWith("SAME")) {
      const target = wanted?.[i] ?? size * strides[i]!;
      const total = Math.max(0, full - target);
      begin.push(auto === "SAME_UPPER" ? Math.floor(total / 2) : Math.ceil(total / 2));
      return target;
    }
    begin.push(auto === "VALID" ? 0 : pads[i]!);
    return auto === "VALID" ? full : full - pads[i]! - pads[i + rank]!;
  });
  const shape = [batch, filters, ...out];
  const [area, taps, outArea] = [elementCount(spatial), elementCount(kernel), elementCount(out)];
  call.budget.spend(area * taps * (16 + batch * channels * depth));
  const data = newData("float64", shape) as Float64Array;
  const [image, weight] = [numbersOf(x), numbersOf(w)];
  if (bias) for (let i = 0; i < data.length; i++) data[i] = Number(bias.data[Math.floor(i / outArea) % filters]);
  const steps = stridesOf(out);
  eachIndex(spatial, (position, place) =>
    eachIndex(kernel, (index, tap) => {
      let at = 0;
      for (let i = 0; i < rank; i++) {
        const y = position[i]! * strides[i]! - begin[i]! + index[i]! * dilations[i]!;
        if (y < 0 || y >= out[i]!) return;
        at += y * steps[i]!;
      }
      for (let n = 0; n < batch; n++)
        for (let c = 0; c < channels; c++) {
          const group = Math.floor(c / (channels / groups));
          const v = image[(n * channels + c) * area + place]!;
          for (let d = 0; d < depth; d++)
            data[(n * filters + group * depth + d) * outArea + at]! += v * weight[(c * depth + d) * taps + tap]!;
        }
    }),
  );
  return [{ dtype: x.dtype, shape, data }];
};

export const linear: EvaluateRules = {
  MatMul: (call) => [matmul(call, input(call, 0), input(call, 1))],
  Gemm: gemm,
  Conv: (call) => [conv(call, input(call, 0), input(call, 1), call.inputs[2])],
  ConvTranspose: convTranspose,
};
