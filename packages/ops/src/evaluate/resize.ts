import { attribute, failure, type Node } from "@pare/core";
import { eachIndex, newData, numbersOf, stridesOf, wholeAxis } from "./array.ts";
import { type EvaluateRule, type EvaluateRules, float, input, int, intList, ints, text } from "./rule.ts";

/**
 * Where a place of the result lies on the source's axis, by the definitions of `coordinate_transformation_mode`. The
 * length of the result that they speak of is `scale * from`, which need not be whole.
 */
function sourceCoordinate(
  mode: string,
  x: number,
  from: number,
  whole: number,
  scale: number,
  roi: readonly [number, number],
): number {
  const to = scale * from;
  switch (mode) {
    case "half_pixel":
      return (x + 0.5) / scale - 0.5;
    case "half_pixel_symmetric": {
      const adjusted = whole / to;
      const centre = from / 2;
      return centre - centre * adjusted + (x + 0.5) / scale - 0.5;
    }
    case "pytorch_half_pixel":
      return to > 1 ? (x + 0.5) / scale - 0.5 : 0;
    case "align_corners":
      return to > 1 ? (x * (from - 1)) / (to - 1) : 0;
    case "asymmetric":
      return x / scale;
    case "tf_crop_and_resize":
      return to > 1
        ? roi[0] * (from - 1) + (x * (roi[1] - roi[0]) * (from - 1)) / (to - 1)
        : 0.5 * (roi[0] + roi[1]) * (from - 1);
    default:
      throw failure("ops/resize", `Resize has no coordinate_transformation_mode ${mode}`);
  }
}

/** A place on the source's axis, and its part of an element of the result. */
interface Tap {
  readonly index: number;
  readonly part: number;
}

/** The places on the source's axis that a coordinate is made of. */
function tapsOf(node: Node, at: number, scale: number, size: number, spend: (steps: number) => void): Tap[] {
  const call = { node };
  const mode = text(call, "mode", "nearest");
  if (mode === "nearest") {
    const how = text(call, "nearest_mode", "round_prefer_floor");
    const index =
      how === "floor"
        ? Math.floor(at)
        : how === "ceil"
          ? Math.ceil(at)
          : how === "round_prefer_ceil"
            ? Math.floor(at + 0.5)
            : Math.ceil(at - 0.5);
    return [{ index, part: 1 }];
  }
  // With antialias a shrinking filter is stretched over all that it covers.
  const stretch = int(call, "antialias", 0) === 1 && scale < 1 ? 1 / scale : 1;
  const a = float(call, "cubic_coeff_a", -0.75);
  const kernel =
    mode === "linear"
      ? (t: number) => Math.max(0, 1 - t)
      : (t: number) => (t <= 1 ? ((a + 2) * t - (a + 3)) * t * t + 1 : t < 2 ? a * (((t - 5) * t + 8) * t - 4) : 0);
  const reach = (mode === "linear" ? 1 : 2) * stretch;
  spend(1024 * reach);
  const taps: Tap[] = [];
  for (let index = Math.ceil(at - reach); index <= Math.floor(at + reach); index++)
    taps.push({ index, part: kernel(Math.abs(index - at) / stretch) });
  const inside = int(call, "exclude_outside", 0) === 1 ? taps.filter((t) => t.index >= 0 && t.index < size) : taps;
  const sum = inside.reduce((s, t) => s + t.part, 0);
  return inside.map((t) => ({ index: t.index, part: t.part / sum }));
}

/** How a `Resize` changes one axis. */
export interface ResizedAxis {
  /** Elements of the source, and of the result. */
  readonly from: number;
  readonly to: number;
  /** Of the result to the source; `to` is rounded. */
  readonly scale: number;
  /** The part of the axis that a crop takes, as fractions of it. */
  readonly roi: readonly [number, number];
}

/** What each element of the result is made of along one axis, by the definition of ONNX; `outside` where a crop leaves it. */
export function resizeTaps(
  node: Node,
  { from, to, scale, roi }: ResizedAxis,
  spend: (steps: number) => void = () => {},
): { readonly taps: readonly Tap[]; readonly outside: boolean }[] {
  const mode = text({ node }, "coordinate_transformation_mode", "half_pixel");
  return Array.from({ length: to }, (_, i) => {
    const at = sourceCoordinate(mode, i, from, to, scale, roi);
    const taps = tapsOf(node, at, scale, from, spend).map(({ index, part }) => ({
      index: Math.max(0, Math.min(from - 1, index)),
      part,
    }));
    return { taps, outside: mode === "tf_crop_and_resize" && (at < 0 || at > from - 1) };
  });
}

/** The contents of a `Resize`'s other inputs. */
export interface ResizeInputs {
  readonly roi?: ArrayLike<number> | undefined;
  readonly scales?: ArrayLike<number> | undefined;
  readonly sizes?: ArrayLike<number> | undefined;
}

/** Sizes and scales of all axes. */
function targetOf(node: Node, from: readonly number[], { scales: givenScales, sizes }: ResizeInputs) {
  const call = { node };
  const axes = (intList(call, "axes") ?? from.map((_, i) => i)).map((axis) => wholeAxis(axis, from.length));
  const scales = from.map(() => 1);
  const shape = [...from];
  if (sizes && sizes.length > 0) {
    const policy = text(call, "keep_aspect_ratio_policy", "stretch");
    const ratios = axes.map((axis, i) => sizes[i]! / from[axis]!);
    const common = policy === "not_larger" ? Math.min(...ratios) : Math.max(...ratios);
    axes.forEach((axis, i) => {
      scales[axis] = policy === "stretch" ? ratios[i]! : common;
      shape[axis] = policy === "stretch" ? sizes[i]! : Math.floor(common * from[axis]! + 0.5);
    });
  } else
    axes.forEach((axis, i) => {
      scales[axis] = givenScales![i]!;
      shape[axis] = Math.floor(from[axis]! * givenScales![i]!);
    });
  return { axes, scales, shape };
}

/** What each element of the result of a `Resize` is made of, along each axis of an image of the shape `from`. */
export function resizedAxes(
  node: Node,
  from: readonly number[],
  inputs: ResizeInputs,
  spend?: (steps: number) => void,
): ReturnType<typeof resizeTaps>[] {
  const { axes, scales, shape } = targetOf(node, from, inputs);
  const crops = text({ node }, "coordinate_transformation_mode", "half_pixel") === "tf_crop_and_resize";
  const { roi } = inputs;
  return shape.map((to, axis) => {
    const size = from[axis]!;
    const k = axes.indexOf(axis);
    if (k < 0 || (to === size && scales[axis] === 1 && !crops))
      return Array.from({ length: to }, (_, i) => ({ taps: [{ index: i, part: 1 }], outside: false }));
    const part: [number, number] = roi && roi.length > 0 ? [roi[k]!, roi[k + axes.length]!] : [0, 1];
    return resizeTaps(node, { from: size, to, scale: scales[axis]!, roi: part }, spend);
  });
}

const resize: EvaluateRule = (call) => {
  const x = input(call, 0);
  const outside = attribute(call.node, "extrapolation_value", "float") ?? 0;
  const strides = stridesOf(x.shape);
  const [roi, scales] = [1, 2].map((i) => call.inputs[i] && numbersOf(call.inputs[i]));
  const inputs = { roi, scales, sizes: ints(call, 3) };
  const { shape } = targetOf(call.node, x.shape, inputs);
  const data = newData("float64", shape) as Float64Array;
  const taps = resizedAxes(call.node, x.shape, inputs, (steps) => call.budget.spend(steps));
  const most = taps.map((axis) => axis.reduce((n, at) => Math.max(n, at.taps.length), 0));
  call.budget.spend(8 * data.length * most.reduce((n, d) => n * d, 1));
  const image = numbersOf(x);
  eachIndex(shape, (index, flat) => {
    if (index.some((i, axis) => taps[axis]![i]!.outside)) {
      data[flat] = outside;
      return;
    }
    const sum = (axis: number, at: number): number => {
      if (axis === index.length) return image[at]!;
      let s = 0;
      for (const t of taps[axis]![index[axis]!]!.taps) s += t.part * sum(axis + 1, at + t.index * strides[axis]!);
      return s;
    };
    data[flat] = sum(0, 0);
  });
  return [{ dtype: x.dtype, shape, data }];
};

export const resizing: EvaluateRules = { Resize: resize };
