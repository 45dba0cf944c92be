import { attr, tensor } from "@pare/core";
import type { Builder, Lower } from "./builder.ts";

/**
 * Pads of a pool with `ceil_mode` so that it has as many windows without: what is added at the end. Where the last window
 * would start in it, that window is none. (ONNX 1.22, AveragePool and MaxPool 22.)
 */
function padsForCeiling(b: Builder): { readonly pads: number[]; readonly more: number[]; readonly rank: number } {
  const spatial = b.shape(b.input(0)!)?.slice(2);
  const kernel = b.intsOf("kernel_shape") ?? b.refuse("it has no kernel_shape");
  if (!spatial?.every((d): d is number => typeof d === "number")) return b.refuse("the size of its input is not known");
  if (b.textOf("auto_pad", "NOTSET") !== "NOTSET") b.refuse("it pads by itself");
  const rank = kernel.length;
  const pads = [...(b.intsOf("pads") ?? Array(2 * rank).fill(0))];
  const [strides, dilations] = ["strides", "dilations"].map(
    (name) => b.intsOf(name) ?? Array<number>(rank).fill(1),
  ) as [number[], number[]];
  if ([spatial, strides, dilations].some((list) => list.length !== rank) || pads.length !== 2 * rank)
    b.refuse("its windows have not as many dimensions as its input");
  const more = kernel.map((k, i) => {
    const [size, step, reach] = [spatial[i]! + pads[i]!, strides[i]!, (k - 1) * dilations[i]! + 1];
    const room = size + pads[i + rank]!;
    const count = Math.ceil((room - reach) / step) + 1;
    const last = (count - 1) * step < size ? count - 1 : count - 2;
    return Math.max(0, last * step + reach - room);
  });
  if (more.some((m, i) => pads[i + rank]! + m >= kernel[i]!))
    b.refuse("what it adds at the end is as large as a window");
  return { pads, more, rank };
}

const ended = (pads: readonly number[], more: readonly number[]) =>
  attr.ints(pads.map((p, i) => p + (i < more.length ? 0 : more[i - more.length]!)));

/** Whether sizes are rounded up; runtimes do not agree on what numbers beside 0 and 1 mean. */
function isCeiling(b: Builder): boolean {
  const mode = b.intOf("ceil_mode", 0);
  if (mode !== 0 && mode !== 1) b.refuse(`its ceil_mode is ${mode}`);
  return mode === 1;
}

export const maxPool: Lower = (b) => {
  if (!isCeiling(b)) return b.keep({});
  const { pads, more } = padsForCeiling(b);
  b.keep({ attributes: { ceil_mode: undefined, pads: ended(pads, more) } });
};

/** What ceil_mode adds at the end never counts; padding counts where the node says so, and is there before then. */
export const averagePool: Lower = (b) => {
  if (b.intsOf("dilations")?.some((d) => d !== 1) && b.target < 19) b.refuse("its windows have holes");
  if (!isCeiling(b)) return b.keep({});
  const { pads, more, rank } = padsForCeiling(b);
  const bare = { ceil_mode: undefined, count_include_pad: undefined };
  if (b.intOf("count_include_pad", 0) === 0) return b.keep({ attributes: { ...bare, pads: ended(pads, more) } });
  const around = [0, 0, ...pads.slice(0, rank), 0, 0, ...pads.slice(rank)];
  const padded = b.add("Pad", [b.input(0), b.ints(around)]);
  b.keep({ inputs: [padded], attributes: { ...bare, pads: ended(Array(2 * rank).fill(0), more) } });
};

/** The sizes that scales give, where all are known. */
function sizesByScales(b: Builder): number[] | undefined {
  const scales = b.input(2) === undefined ? undefined : b.constantFloats(b.input(2)!);
  const dims = b.shape(b.input(0)!);
  const axes = b.intsOf("axes") ?? dims?.map((_, i) => i);
  const sizes = scales?.map((s, i) => s * Number(dims?.at(axes![i]!) ?? Number.NaN));
  return sizes?.every(Number.isFinite) ? sizes : undefined;
}

/** Where the sizes are whole numbers, half_pixel_symmetric is half_pixel. */
export const resizeSymmetric: Lower = (b) => {
  if (!b.input(3) && !sizesByScales(b)?.every(Number.isInteger))
    b.refuse("it is half_pixel_symmetric to a fraction of a pixel");
  if (b.textOf("keep_aspect_ratio_policy", "stretch") !== "stretch")
    b.refuse("it is half_pixel_symmetric by a common scale");
  b.keep({ attributes: { coordinate_transformation_mode: attr.string("half_pixel") } });
};

/** The sizes of all axes by one scale, where none of them is rounded. */
function sizesOfPolicy(b: Builder, axes: readonly number[], policy: string): string {
  const refuse = () => b.refuse("it keeps the aspect ratio of what is known only when the model runs");
  const dims = axes.map((axis) => b.shape(b.input(0)!)![axis]);
  const sizes = b.constantInts(b.input(3) ?? refuse()) ?? refuse();
  if (!dims.every((d): d is number => typeof d === "number")) return refuse();
  const ratios = sizes.map((size, i) => size / dims[i]!);
  const ratio = policy === "not_larger" ? Math.min(...ratios) : Math.max(...ratios);
  const whole = dims.map((d) => Math.round(ratio * d));
  if (whole.some((size, i) => Math.abs(size - ratio * dims[i]!) > 1e-9)) b.refuse("its sizes are rounded");
  return b.ints(whole);
}

/** Axes and sizes of some axes become those of all. */
export const resize: Lower = (b) => {
  const x = b.input(0)!;
  if (b.intOf("antialias", 0) !== 0) b.refuse("it smooths (antialias)");
  const policy = b.textOf("keep_aspect_ratio_policy", "stretch");
  const bare = { antialias: undefined, axes: undefined, keep_aspect_ratio_policy: undefined };
  const axes = b.intsOf("axes");
  if (!axes && policy === "stretch") return b.keep({ attributes: bare });
  const rank = b.rank(x);
  const at = axes?.map((axis) => (axis < 0 ? axis + rank : axis)) ?? Array.from({ length: rank }, (_, i) => i);
  const scattered = (all: string, some: string) => b.add("ScatterElements", [all, b.ints(at), some]);
  const [given, scales] = [b.input(1), b.input(2)];
  const crops = given && axes && b.textOf("coordinate_transformation_mode", "half_pixel") === "tf_crop_and_resize";
  const wholeRoi = () =>
    b.constant(
      tensor(
        "float32",
        [2 * rank],
        Array.from({ length: 2 * rank }, (_, i) => (i < rank ? 0 : 1)),
      ),
    );
  const ends = b.ints([...at, ...at.map((axis) => axis + rank)]);
  const roi = crops ? b.add("ScatterElements", [wholeRoi(), ends, b.cast(given, "float32")]) : given;
  if (scales) {
    const ones = b.constant(tensor("float32", [rank], Array(rank).fill(1)));
    return b.keep({ inputs: [x, roi, scattered(ones, scales)], attributes: bare });
  }
  const sizes = policy === "stretch" ? b.input(3)! : sizesOfPolicy(b, at, policy);
  b.keep({ inputs: [x, roi, undefined, scattered(b.dims(x, 0), sizes)], attributes: bare });
};

/** The modes had other names, and images two dimensions. */
export const gridSample: Lower = (b) => {
  if (b.rank(b.input(0)!) !== 4) b.refuse("it samples in three dimensions");
  const mode = b.textOf("mode", "linear");
  const name = new Map([
    ["linear", "bilinear"],
    ["cubic", "bicubic"],
  ]).get(mode);
  b.keep({ attributes: { mode: attr.string(name ?? mode) } });
};

/** The axis was an attribute. */
export const dft: Lower = (b) => {
  const [x, length, axisInput] = [b.input(0), b.input(1), b.input(2)];
  const axis = axisInput === undefined ? -2 : b.constantInts(axisInput)?.[0];
  if (axis === undefined) return b.refuse("its axis is known only when the model runs");
  const at = axis < 0 ? axis + b.rank(x!) : axis;
  b.keep({ inputs: [x, length], attributes: { axis: attr.int(at) } });
};

export const roiAlign: Lower = (b) => {
  if (b.textOf("coordinate_transformation_mode", "half_pixel") !== "output_half_pixel")
    b.refuse("its boxes are moved by half a pixel");
  b.keep({ attributes: { coordinate_transformation_mode: undefined } });
};
