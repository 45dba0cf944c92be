import { attribute, type Dim, intsAttribute } from "@pare/core";
import { add, ceilDiv, floorDiv, mul, productOf, sub } from "./dims.ts";
import {
  type Call,
  int,
  isNumbers,
  numbersAt,
  type Shape,
  type ShapeRule,
  type ShapeRules,
  shapeAt,
  unknown,
  valuesAt,
} from "./rule.ts";

/** Kernel, strides, dilations and pads of a window over spatial axes. */
interface Window {
  readonly kernel: readonly Dim[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Begins, then ends. */
  readonly pads: readonly number[];
  readonly autoPad: string;
  readonly ceil: boolean;
}

function windowOf(c: Call, spatial: number, kernel: readonly Dim[] | undefined): Window | undefined {
  const list = (name: string, length: number, fill: number) => {
    const given = intsAttribute(c.node, name);
    return given ? (given.length === length ? given : undefined) : new Array<number>(length).fill(fill);
  };
  const [strides, dilations, pads] = [
    list("strides", spatial, 1),
    list("dilations", spatial, 1),
    list("pads", 2 * spatial, 0),
  ];
  const size = intsAttribute(c.node, "kernel_shape") ?? kernel;
  if (!size || size.length !== spatial || !strides || !dilations || !pads) return undefined;
  if (strides.some((s) => s <= 0)) return undefined;
  const autoPad = String(attribute(c.node, "auto_pad", "string") ?? "NOTSET");
  return { kernel: size, strides, dilations, pads, autoPad, ceil: int(c, "ceil_mode", 0) !== 0 };
}

const reach = (w: Window, i: number): Dim => add(mul(sub(w.kernel[i]!, 1), w.dilations[i]!), 1);
const notNegative = (d: Dim): Dim => (typeof d === "number" && d < 0 ? null : d);

/** How many windows fit. */
function windows(input: Dim, w: Window, i: number): Dim {
  const stride = w.strides[i]!;
  if (w.autoPad.startsWith("SAME")) return ceilDiv(input, stride);
  const [begin, end] = w.autoPad === "VALID" ? [0, 0] : [w.pads[i]!, w.pads[i + w.strides.length]!];
  const size = reach(w, i);
  const room = sub(add(input, begin + end), size);
  if (!w.ceil) return notNegative(add(floorDiv(room, stride), 1));
  const count = add(ceilDiv(room, stride), 1);
  if (typeof size === "number" && end + stride - 1 < size) return notNegative(count);
  // The last window must start inside the input or the padding before it.
  const starts = mul(sub(count, 1), stride);
  if (typeof starts !== "number" || typeof input !== "number" || typeof count !== "number") return null;
  return notNegative(starts >= input + begin ? count - 1 : count);
}

function slide(c: Call, shape: Shape, channels: Dim, kernel?: readonly Dim[]): Shape {
  if (!shape || shape.length < 2) return undefined;
  const w = windowOf(c, shape.length - 2, kernel);
  const spatial = shape.slice(2).map((d, i) => (w ? windows(d, w, i) : null));
  return [shape[0]!, channels, ...spatial];
}

const convolution =
  (x: number, w: number): ShapeRule =>
  (c) => {
    const weight = shapeAt(c, w);
    const shape = shapeAt(c, x) ?? unknown(weight?.length ?? (intsAttribute(c.node, "kernel_shape")?.length ?? -3) + 2);
    return [slide(c, shape, weight?.[0] ?? null, weight?.slice(2))];
  };

const pool: ShapeRule = (c) => {
  const shape = shapeAt(c, 0) ?? unknown((intsAttribute(c.node, "kernel_shape")?.length ?? -3) + 2);
  const out = slide(c, shape, shape?.[1] ?? null);
  return [out, out];
};

const globalPool: ShapeRule = (c) => [shapeAt(c, 0)?.map((d, i) => (i < 2 ? d : 1))];

/** Convolutions, pools and what else slides a window. */
export const window: ShapeRules = {
  Conv: convolution(0, 1),
  ConvInteger: convolution(0, 1),
  DeformConv: convolution(0, 1),
  QLinearConv: convolution(0, 3),
  MaxPool: pool,
  AveragePool: pool,
  LpPool: pool,
  GlobalAveragePool: globalPool,
  GlobalMaxPool: globalPool,
  GlobalLpPool: globalPool,
  ConvTranspose(c) {
    const weight = shapeAt(c, 1);
    const shape = shapeAt(c, 0) ?? unknown(weight?.length);
    if (!shape || shape.length < 2) return [];
    const spatial = shape.length - 2;
    const w = windowOf(c, spatial, weight?.slice(2));
    const wanted = intsAttribute(c.node, "output_shape")?.slice(-spatial);
    const extra = intsAttribute(c.node, "output_padding");
    const dims = shape.slice(2).map((d, i): Dim => {
      if (wanted?.length === spatial) return wanted[i]!;
      if (!w) return null;
      const stride = w.strides[i]!;
      if (w.autoPad.startsWith("SAME")) return mul(d, stride);
      const pads = w.autoPad === "VALID" ? 0 : w.pads[i]! + w.pads[i + spatial]!;
      return notNegative(add(add(mul(sub(d, 1), stride), reach(w, i)), (extra?.[i] ?? 0) - pads));
    });
    return [[shape[0]!, weight ? mul(weight[1] ?? null, int(c, "group", 1)) : null, ...dims]];
  },
  MaxUnpool(c) {
    const shape = shapeAt(c, 0);
    const given = valuesAt(c, 2);
    if (given) return [given];
    if (!shape || shape.length < 2) return [shape];
    const w = windowOf(c, shape.length - 2, undefined);
    if (!w || c.node.inputs[2]) return [unknown(shape.length)];
    const dims = shape.slice(2).map((d, i) => {
      const pads = w.pads[i]! + w.pads[i + shape.length - 2]!;
      return notNegative(add(mul(sub(d, 1), w.strides[i]!), sub(w.kernel[i]!, pads)));
    });
    return [[...shape.slice(0, 2), ...dims]];
  },
  MaxRoiPool: (c) => [
    [
      shapeAt(c, 1)?.[0] ?? null,
      shapeAt(c, 0)?.[1] ?? null,
      ...(intsAttribute(c.node, "pooled_shape") ?? [null, null]),
    ],
  ],
  RoiAlign: (c) => [
    [shapeAt(c, 1)?.[0] ?? null, shapeAt(c, 0)?.[1] ?? null, int(c, "output_height", 1), int(c, "output_width", 1)],
  ],
  Col2Im(c) {
    const shape = shapeAt(c, 0);
    const [image, block] = [valuesAt(c, 1), valuesAt(c, 2)];
    const spatial = image ?? unknown(shapeAt(c, 1)?.[0]);
    return [spatial && [shape?.[0] ?? null, block ? floorDiv(shape?.[1] ?? null, productOf(block)) : null, ...spatial]];
  },
  CausalConvWithState(c) {
    const [shape, weight] = [shapeAt(c, 0), shapeAt(c, 1)];
    const kernel = weight?.at(-1) ?? null;
    return [shape, shape ? [...shape.slice(0, -1), sub(kernel, 1)] : shapeAt(c, 3)];
  },
  GridSample(c) {
    const [shape, grid] = [shapeAt(c, 0), shapeAt(c, 1)];
    const spatial = grid?.slice(1, -1) ?? (shape && unknown(shape.length - 2));
    return [spatial && [shape?.[0] ?? grid?.[0] ?? null, shape?.[1] ?? null, ...spatial]];
  },
  AffineGrid(c) {
    const size = valuesAt(c, 1);
    if (!size) {
      const [batch, rank] = shapeAt(c, 0) ?? [];
      return [typeof rank === "number" && rank <= 3 ? [batch!, ...unknown(rank)!, rank] : undefined];
    }
    return [[size[0] ?? null, ...size.slice(2), size.length - 2]];
  },
  Upsample: (c) => [scaled(shapeAt(c, 0), numbersAt(c, 1))],
  Resize(c) {
    const shape = shapeAt(c, 0);
    if (!shape) return [];
    const axes = intsAttribute(c.node, "axes")?.map((a) => (a < 0 ? a + shape.length : a)) ?? shape.map((_, i) => i);
    const scales = numbersAt(c, 2);
    const sizes = valuesAt(c, 3);
    const policy = String(attribute(c.node, "keep_aspect_ratio_policy", "string") ?? "stretch");
    if (sizes?.length === axes.length) {
      const resized =
        policy === "stretch"
          ? sizes
          : keepRatio(
              axes.map((a) => shape[a] ?? null),
              sizes,
              policy,
            );
      return [shape.map((d, i) => (axes.includes(i) ? resized[axes.indexOf(i)]! : d))];
    }
    const all = shape.map((_, i) => (axes.includes(i) ? scales?.[axes.indexOf(i)] : 1));
    return [scaled(shape, all)];
  },
};

/** Each dimension times its scale, rounded down. */
function scaled(shape: Shape, scales: readonly (number | undefined)[] | undefined): Shape {
  return shape?.map((d, i) => {
    const s = scales?.[i];
    if (s === undefined || !(s > 0)) return null;
    if (typeof d === "number") return Math.floor(d * s);
    if (Number.isInteger(s)) return mul(d, s);
    return Number.isInteger(1 / s) ? floorDiv(d, 1 / s) : null;
  });
}

/** All axes by one scale, the least or greatest of those asked for; sizes rounded half up. */
function keepRatio(dims: readonly Dim[], sizes: readonly Dim[], policy: string): readonly Dim[] {
  if (!isNumbers(dims) || !isNumbers(sizes)) return dims.map(() => null);
  const scales = dims.map((d, i) => sizes[i]! / d);
  const scale = policy === "not_larger" ? Math.min(...scales) : Math.max(...scales);
  return dims.map((d) => Math.floor(d * scale + 0.5));
}
