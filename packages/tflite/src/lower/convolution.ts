import { elementCount } from "@pare/core";
import { transposed } from "./constant.ts";
import { type Context, type Lowerings, last, refuse } from "./context.ts";
import { widened } from "./elementwise.ts";
import type { Arg, Val } from "./program.ts";

/** A window that moves over the spatial dimensions of a value. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly before: readonly number[];
  readonly after: readonly number[];
  /** How many places it has along each dimension. */
  readonly out: readonly number[];
}

export function windowOf(c: Context, x: Val, kernel: readonly number[]): Window {
  const spatial = x.shape.slice(2);
  const ones = spatial.map(() => 1);
  const strides = c.intList("strides") ?? ones;
  const dilations = c.intList("dilations") ?? ones;
  const pads = c.intList("pads") ?? [...spatial, ...spatial].map(() => 0);
  const auto = c.text("auto_pad", "NOTSET");
  const ceil = c.int("ceil_mode", 0) === 1;
  const axes = spatial.map((size, i) => {
    const reach = (kernel[i]! - 1) * dilations[i]! + 1;
    const stride = strides[i]!;
    if (auto === "SAME_UPPER" || auto === "SAME_LOWER") {
      const out = Math.ceil(size / stride);
      const total = Math.max(0, (out - 1) * stride + reach - size);
      const half = auto === "SAME_UPPER" ? Math.floor(total / 2) : Math.ceil(total / 2);
      return { before: half, after: total - half, out };
    }
    const [before, after] = auto === "VALID" ? [0, 0] : [pads[i]!, pads[spatial.length + i]!];
    const places = (size + before + after - reach) / stride + 1;
    let out = ceil ? Math.ceil(places) : Math.floor(places);
    // A window that would begin in the padding behind is left out.
    if (ceil && (out - 1) * stride >= size + before) out--;
    return { before, after, out };
  });
  if (axes.some((a) => a.out <= 0)) refuse("its result has no elements");
  return {
    kernel,
    strides,
    dilations,
    before: axes.map((a) => a.before),
    after: axes.map((a) => a.after),
    out: axes.map((a) => a.out),
  };
}

/** Whether TFLite's SAME puts the same padding before, given that as many places come out. */
export const isSame = (w: Window, spatial: readonly number[]): boolean =>
  spatial.every((size, i) => {
    const reach = (w.kernel[i]! - 1) * w.dilations[i]! + 1;
    const out = Math.ceil(size / w.strides[i]!);
    const total = Math.max(0, (out - 1) * w.strides[i]! + reach - size);
    return out === w.out[i] && Math.floor(total / 2) === w.before[i];
  });

/** The value with what the window reads beyond its ends. */
export function padded(c: Context, x: Val, w: Window, value = 0): Val {
  const needed = w.out.map((out, i) => {
    const reach = (w.kernel[i]! - 1) * w.dilations[i]! + 1;
    return Math.max(0, (out - 1) * w.strides[i]! + reach - x.shape[i + 2]! - w.before[i]!);
  });
  if (w.before.some((p) => p < 0)) refuse("its padding is negative");
  return c.pad(x, [0, 0, ...w.before], [0, 0, ...needed], value);
}

const stretch = (list: readonly number[]) => (list.length === 1 ? [1, ...list] : list);

/** The bias as a constant or value [O]; zeros where there is none, since CONV_2D wants one. */
const biasOf = (c: Context, size: number): Val => {
  const given = c.maybe(2);
  return given ? widened(c, given, ["float32"]) : c.full("float32", [size], 0);
};

function conv(c: Context) {
  const [given, w] = [widened(c, c.in(0), ["float32"]), widened(c, c.in(1), ["float32"])];
  const groups = c.int("group", 1);
  const window = windowOf(c, given, c.intList("kernel_shape") ?? w.shape.slice(2));
  const bias = biasOf(c, w.shape[0]!);
  const rank = given.shape.length;
  if (rank < 3 || rank > 5) refuse(`it has ${rank - 2} spatial dimensions; LiteRT has convolutions of 1 to 3`);
  const result = rank === 5 ? conv3d(c, given, w, bias, window, groups) : conv2d(c, given, w, bias, window, groups);
  c.give(0, c.cast(result, c.in(0).dtype));
}

function conv2d(c: Context, given: Val, weight: Val, bias: Val, window: Window, groups: number): Val {
  const spatial = given.shape.slice(2);
  const same = isSame(window, spatial);
  let x = same ? given : padded(c, given, window);
  let w = weight;
  const line = spatial.length === 1;
  if (line) {
    x = c.reshapeLast(x, [x.shape[0]!, x.shape[1]!, 1, x.shape[2]!]);
    w = c.reshape(w, [w.shape[0]!, w.shape[1]!, 1, w.shape[2]!]);
  }
  const [stride_h, stride_w] = stretch(window.strides);
  const [dilation_h_factor, dilation_w_factor] = stretch(window.dilations);
  const options = { padding: same ? "SAME" : "VALID", stride_h, stride_w, dilation_h_factor, dilation_w_factor };
  const [channels, outputs] = [x.shape[1]!, w.shape[0]!];
  const result = { shape: [x.shape[0]!, outputs, ...stretch(window.out)], dtype: "float32", order: "last" } as const;
  let y: Val;
  if (groups === channels && groups > 1) {
    const depth = c.reshape(c.transpose(w, [1, 2, 3, 0]), [1, w.shape[2]!, w.shape[3]!, outputs]);
    const all = { ...options, depth_multiplier: outputs / channels };
    y = c.add("DEPTHWISE_CONV_2D", [{ value: x, order: "last" }, { value: depth, order: "source" }, bias], result, all);
  } else {
    const kernel = c.transpose(w, [0, 2, 3, 1]);
    y = c.add("CONV_2D", [{ value: x, order: "last" }, { value: kernel, order: "source" }, bias], result, options);
  }
  return line ? c.reshapeLast(y, [y.shape[0]!, outputs, window.out[0]!]) : y;
}

function conv3d(c: Context, given: Val, w: Val, bias: Val, window: Window, groups: number): Val {
  const same = isSame(window, given.shape.slice(2));
  const x = same ? given : padded(c, given, window);
  const [stride_d, stride_h, stride_w] = window.strides;
  const [dilation_d_factor, dilation_h_factor, dilation_w_factor] = window.dilations;
  const padding = same ? "SAME" : "VALID";
  const options = { padding, stride_d, stride_h, stride_w, dilation_d_factor, dilation_h_factor, dilation_w_factor };
  const [inputs, outputs] = [w.shape[1]!, w.shape[0]! / groups];
  const parts = Array.from({ length: groups }, (_, g) => {
    const part = c.part(x, 1, g * inputs, inputs);
    const kernel = c.transpose(c.part(w, 0, g * outputs, outputs), [2, 3, 4, 1, 0]);
    const shape = [x.shape[0]!, outputs, ...window.out];
    return c.add(
      "CONV_3D",
      [{ value: part, order: "last" }, { value: kernel, order: "source" }, c.part(bias, 0, g * outputs, outputs)],
      { shape, dtype: "float32", order: "last" },
      options,
    );
  });
  return c.concat(parts, 1);
}

/** The kernel with zeros between its elements, so that it reaches as far as one that is dilated. */
function dilated(c: Context, w: Val, dilations: readonly number[]): Val {
  return dilations.reduce((v, d, i) => {
    if (d === 1) return v;
    const axis = i + 2;
    const k = v.shape[axis]!;
    const [head, tail] = [v.shape.slice(0, axis), v.shape.slice(axis + 1)];
    const apart = c.reshape(v, [elementCount(head), k, 1, elementCount(tail)]);
    const stuffed = c.reshape(c.pad(apart, [0, 0, 0, 0], [0, 0, d - 1, 0]), [...head, k * d, ...tail]);
    return c.part(stuffed, axis, 0, k * d - (d - 1));
  }, w);
}

function convTranspose(c: Context) {
  const given = widened(c, c.in(0), ["float32"]);
  const rank = given.shape.length;
  if (rank < 3 || rank > 5) refuse(`it has ${rank - 2} spatial dimensions; LiteRT has convolutions of 1 to 3`);
  const spatial = given.shape.slice(2);
  const ones = spatial.map(() => 1);
  const strides = c.intList("strides") ?? ones;
  const weight = dilated(c, widened(c, c.in(1), ["float32"]), c.intList("dilations") ?? ones);
  const kernel = weight.shape.slice(2);
  const groups = c.int("group", 1);
  const extra = c.intList("output_padding") ?? spatial.map(() => 0);
  const raw = spatial.map((size, i) => (size - 1) * strides[i]! + kernel[i]!);
  const { begin, out } = cropOf(c, raw, extra, spatial, strides);
  const [inputs, outputs] = [given.shape[1]! / groups, weight.shape[1]!];
  const parts = Array.from({ length: groups }, (_, g) => {
    const x = c.part(given, 1, g * inputs, inputs);
    const w = c.part(weight, 0, g * inputs, inputs);
    return rank === 5 ? transposed3d(c, x, w, strides, raw) : transposed2d(c, x, w, strides, raw);
  });
  const whole = c.concat(parts, 1);
  const missing = raw.map((size, i) => Math.max(0, begin[i]! + out[i]! - size));
  const long = c.pad(
    whole,
    whole.shape.map(() => 0),
    [0, 0, ...missing],
  );
  const cut = c.slice(long, [0, 0, ...begin], [given.shape[0]!, outputs * groups, ...out]);
  const bias = c.maybe(2);
  const shape = [outputs * groups, ...spatial.map(() => 1)];
  const shifted = bias ? c.binary("ADD", cut, c.reshape(widened(c, bias, ["float32"]), shape)) : cut;
  c.give(0, c.cast(shifted, c.in(0).dtype));
}

/** Which part of the raw result remains. */
function cropOf(
  c: Context,
  raw: readonly number[],
  extra: readonly number[],
  spatial: readonly number[],
  strides: readonly number[],
): { readonly begin: readonly number[]; readonly out: readonly number[] } {
  const auto = c.text("auto_pad", "NOTSET");
  const wanted = c.intList("output_shape")?.slice(-raw.length);
  const pads = c.intList("pads") ?? [...raw, ...raw].map(() => 0);
  const isAuto = auto === "SAME_UPPER" || auto === "SAME_LOWER";
  if (!wanted && !isAuto) {
    const of = (i: number) => (auto === "VALID" ? 0 : pads[i]!);
    const out = raw.map((size, i) => size + extra[i]! - of(i) - of(raw.length + i));
    return { begin: raw.map((_, i) => of(i)), out };
  }
  const out = wanted ?? spatial.map((size, i) => size * strides[i]!);
  const begin = raw.map((size, i) => {
    const total = Math.max(0, size + extra[i]! - out[i]!);
    return auto === "SAME_UPPER" ? Math.floor(total / 2) : total - Math.floor(total / 2);
  });
  return { begin, out };
}

function transposed2d(c: Context, given: Val, weight: Val, strides: readonly number[], raw: readonly number[]): Val {
  const line = raw.length === 1;
  const x = line ? c.reshapeLast(given, [given.shape[0]!, given.shape[1]!, 1, given.shape[2]!]) : given;
  const w = line ? c.reshape(weight, [weight.shape[0]!, weight.shape[1]!, 1, weight.shape[2]!]) : weight;
  const [h, wide] = stretch(raw) as [number, number];
  const [n, o] = [x.shape[0]!, w.shape[1]!];
  const [stride_h, stride_w] = stretch(strides) as [number, number];
  const y = c.sink.openBatch
    ? untoldTransposed(c, x, w, [stride_h, stride_w])
    : c.add(
        "TRANSPOSE_CONV",
        [
          c.ints([n, h, wide, o]),
          { value: c.transpose(w, [1, 2, 3, 0]), order: "source" },
          { value: x, order: "last" },
        ],
        { shape: [n, o, h, wide], dtype: "float32", order: "last" },
        { padding: "VALID", stride_h, stride_w },
      );
  return line ? c.reshapeLast(y, [n, o, wide]) : y;
}

/**
 * A transposed convolution without the shape of its result, which TRANSPOSE_CONV is told: blocks where the kernel is as large
 * as the stride, else a convolution of the input with zeros between its elements.
 */
function untoldTransposed(c: Context, x: Val, w: Val, strides: readonly [number, number]): Val {
  const [n, inputs, height, width] = x.shape as [number, number, number, number];
  const [, outputs, kh, kw] = w.shape as [number, number, number, number];
  const [sh, sw] = strides;
  const convolved = (v: Val, kernel: Val) => {
    const [filters, rows, columns] = kernel.shape as [number, number, number];
    const shape = [n, filters, v.shape[2]! - rows + 1, v.shape[3]! - columns + 1];
    const operands = [{ value: v, order: "last" }, { value: kernel, order: "source" }, c.full("float32", [filters], 0)];
    const result = { shape, dtype: "float32", order: "last" } as const;
    return c.add("CONV_2D", operands as Arg[], result, {
      padding: "VALID",
      stride_h: 1,
      stride_w: 1,
      dilation_h_factor: 1,
      dilation_w_factor: 1,
    });
  };
  if (kh === sh && kw === sw && sh === sw) {
    const kernel = c.reshape(c.transpose(w, [2, 3, 1, 0]), [sh * sw * outputs, 1, 1, inputs]);
    const blocks = convolved(x, kernel);
    const result = { shape: [n, outputs, height * sh, width * sw], dtype: "float32", order: "last" } as const;
    return c.add("DEPTH_TO_SPACE", [last(blocks)], result, { block_size: sh });
  }
  if (!w.data) refuse("its weights are known only when it runs, and so is the batch");
  const zeros = [0, 0, 0, 0];
  let v = x;
  if (sh > 1) {
    const rows = c.pad(c.reshapeLast(v, [n, width * inputs, height, 1]), zeros, [0, 0, 0, sh - 1]);
    v = c.reshapeLast(rows, [n, inputs, height * sh, width]);
  }
  if (sw > 1) {
    const places = c.pad(c.reshapeLast(v, [n, inputs, height * sh * width, 1]), zeros, [0, 0, 0, sw - 1]);
    v = c.reshapeLast(places, [n, inputs, height * sh, width * sw]);
  }
  // Of the zeros behind the last element some are the padding.
  const [tall, wide] = [(height - 1) * sh + kh, (width - 1) * sw + kw];
  const before = [0, 0, kh - 1, kw - 1];
  const padded = c.pad(v, before, [0, 0, Math.max(0, kh - sh), Math.max(0, kw - sw)]);
  const turned = c.constant(transposed(w.data!, [1, 2, 3, 0], [2, 3]));
  return c.slice(convolved(padded, turned), zeros, [n, outputs, tall, wide]);
}

function transposed3d(c: Context, x: Val, w: Val, strides: readonly number[], raw: readonly number[]): Val {
  const [n, o] = [x.shape[0]!, w.shape[1]!];
  const [stride_d, stride_h, stride_w] = strides;
  return c.add(
    "CONV_3D_TRANSPOSE",
    [c.ints([n, ...raw, o]), { value: c.transpose(w, [2, 3, 4, 1, 0]), order: "source" }, { value: x, order: "last" }],
    { shape: [n, o, ...raw], dtype: "float32", order: "last" },
    { padding: "VALID", stride_d, stride_h, stride_w },
  );
}

export const convolutions: Lowerings = { Conv: conv, ConvTranspose: convTranspose };
