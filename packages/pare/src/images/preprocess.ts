import { failure, type Model, type ResidentTensor, tensor } from "@pare/core";
import type { Pixels } from "./decode.ts";
import { resample } from "./resample.ts";

/** How an image becomes what a network reads. Written into the metadata of what is calibrated with it. */
export interface Preprocessing {
  /** Height and width that the network reads. */
  readonly size: readonly [number, number];
  /** Fill the size and cut what stands out evenly on both sides, squeeze, or fit inside with black around. Default `cover`. */
  readonly fit?: "cover" | "stretch" | "contain";
  /** With `cover`: the shorter side is first made so long, then the size cut from the middle. Default: as little is cut as can be. */
  readonly shorterSide?: number;
  /** Default `NCHW`. */
  readonly layout?: "NCHW" | "NHWC";
  /** Default `RGB`. Grey is by ITU-R 601: 0.299 R + 0.587 G + 0.114 B. */
  readonly channels?: "RGB" | "BGR" | "gray";
  /** What a channel of 0 to 255 is multiplied by. Default 1/255, and 1 for uint8. */
  readonly scale?: number;
  /** Subtracted from each channel after scaling, and what it is then divided by: one number, or one for each channel. Default 0 and 1. */
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  /** Default `float32`. */
  readonly dtype?: "float32" | "uint8";
}

/** Everything said. */
export type FullPreprocessing = Required<Omit<Preprocessing, "shorterSide">> & Pick<Preprocessing, "shorterSide">;

const wrong = (message: string) =>
  failure("pare/preprocessing", message, { hint: "See “Samples” in the README of pare." });

/**
 * Fills in defaults, and what the model's one input says: its size, layout and type.
 * @throws PareError `pare/preprocessing`
 */
export function completed(given: Partial<Preprocessing>, model?: Model): FullPreprocessing {
  const inputs = model?.graph.inputs.filter((v) => !model.graph.weights.has(v.name)) ?? [];
  const type = inputs[0]?.type;
  const shape = type?.kind === "tensor" && type.shape?.length === 4 ? type.shape : undefined;
  const isDepth = (d: unknown) => d === 1 || d === 3;
  const layout = given.layout ?? (shape && isDepth(shape[3]) && !isDepth(shape[1]) ? "NHWC" : "NCHW");
  const [height, width] = shape ? (layout === "NCHW" ? shape.slice(2) : shape.slice(1, 3)) : [];
  const depth = shape?.[layout === "NCHW" ? 1 : 3];
  const size =
    given.size ?? (typeof height === "number" && typeof width === "number" ? ([height, width] as const) : undefined);
  if (!size) throw wrong("the size of images is not said, and the model's input leaves it open");
  if (size.length !== 2 || size.some((d) => !Number.isInteger(d) || d < 1))
    throw wrong(`a size of ${size} is not a height and a width`);
  const dtype = given.dtype ?? (type?.kind === "tensor" && type.dtype === "uint8" ? "uint8" : "float32");
  const channels = given.channels ?? (depth === 1 ? "gray" : "RGB");
  const { mean = [0], std = [1], fit = "cover", scale = dtype === "uint8" ? 1 : 1 / 255, shorterSide } = given;
  const count = channels === "gray" ? 1 : 3;
  for (const [what, list] of Object.entries({ mean, std }))
    if ((list.length !== 1 && list.length !== count) || !list.every(Number.isFinite))
      throw wrong(`${what} has ${list.length} numbers, the image ${count} channels`);
  if (std.some((s) => s === 0)) throw wrong("a standard deviation is 0");
  if (shorterSide !== undefined && (fit !== "cover" || shorterSide < Math.max(...size)))
    throw wrong(`a shorter side of ${shorterSide} does not cover ${size}`);
  return {
    size,
    fit,
    layout,
    channels,
    scale,
    mean,
    std,
    dtype,
    ...(shorterSide === undefined ? {} : { shorterSide }),
  };
}

/** An image as `[1,C,H,W]` or `[1,H,W,C]`. */
export function preprocess(image: Pixels, p: FullPreprocessing): ResidentTensor {
  const [height, width] = p.size;
  const fitted = fit(image, p);
  const order = p.channels === "BGR" ? [2, 1, 0] : [0, 1, 2];
  const depth = p.channels === "gray" ? 1 : 3;
  const pixels = height * width;
  const numbers = new Float32Array(pixels * depth);
  for (let i = 0; i < pixels; i++)
    for (let c = 0; c < depth; c++) {
      const at = (k: number) => fitted.rgb[3 * i + k]!;
      const raw = depth === 1 ? Math.round(0.299 * at(0) + 0.587 * at(1) + 0.114 * at(2)) : at(order[c]!);
      const value = (raw * p.scale - (p.mean[c] ?? p.mean[0]!)) / (p.std[c] ?? p.std[0]!);
      numbers[p.layout === "NCHW" ? c * pixels + i : i * depth + c] = value;
    }
  const shape = p.layout === "NCHW" ? [1, depth, height, width] : [1, height, width, depth];
  return p.dtype === "float32"
    ? tensor("float32", shape, numbers)
    : tensor(
        "uint8",
        shape,
        Uint8Array.from(numbers, (v) => Math.max(0, Math.min(255, Math.round(v)))),
      );
}

function fit(image: Pixels, { fit: how, size: [height, width], shorterSide }: FullPreprocessing): Pixels {
  if (how === "stretch")
    return resample(image, { left: 0, top: 0, width: image.width, height: image.height }, width, height);
  if (how === "cover") {
    const scale =
      shorterSide === undefined
        ? Math.max(height / image.height, width / image.width)
        : shorterSide / Math.min(image.width, image.height);
    const [w, h] = [width / scale, height / scale];
    return resample(
      image,
      { left: (image.width - w) / 2, top: (image.height - h) / 2, width: w, height: h },
      width,
      height,
    );
  }
  const scale = Math.min(height / image.height, width / image.width);
  const [w, h] = [Math.max(1, Math.round(image.width * scale)), Math.max(1, Math.round(image.height * scale))];
  const inside = resample(image, { left: 0, top: 0, width: image.width, height: image.height }, w, h);
  const rgb = new Uint8Array(width * height * 3);
  const [left, top] = [(width - w) >> 1, (height - h) >> 1];
  for (let y = 0; y < h; y++) rgb.set(inside.rgb.subarray(y * w * 3, (y + 1) * w * 3), ((top + y) * width + left) * 3);
  return { width, height, rgb };
}
