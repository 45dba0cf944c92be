import { attribute, intAttribute, intsAttribute, type Node } from "@pare/core";
import type { TypeOf } from "./check.ts";
import { declaredType } from "./declared.ts";

/** Whether what a version changed changes what this node means. Where that cannot be known, the answer is yes. */
export type Affects = (node: Node, typeOf: TypeOf) => boolean;

const always: Affects = () => true;
const text = (n: Node, name: string) => attribute(n, name, "string");
const isNegative = (n: Node, name: string) =>
  intAttribute(n, name, 0) < 0 || (intsAttribute(n, name)?.some((axis) => axis < 0) ?? false);

/** Before 11 axes were counted from the front only. */
const negativeAxis: Affects = (n) => isNegative(n, "axis");
const ceiling: Affects = (n) => intAttribute(n, "ceil_mode", 0) !== 0;
const samePadding: Affects = (n) => (text(n, "auto_pad")?.toString() ?? "").startsWith("SAME");

function rankOf(n: Node, input: number, typeOf: TypeOf): number | undefined {
  const type = typeOf(n.inputs[input] ?? "");
  return type?.kind === "tensor" ? type.shape?.length : undefined;
}

/** Until 11 these worked on a matrix to which the tensor was flattened at `axis`: on the last axis that is the same. */
const notLastAxis: Affects = (n, typeOf) => {
  const axis = attribute(n, "axis", "int");
  return axis === undefined || (Number(axis) !== -1 && Number(axis) !== (rankOf(n, 0, typeOf) ?? Number.NaN) - 1);
};

/** Scales for each channel came with 13. */
const perChannel: Affects = (n, typeOf) => rankOf(n, 1, typeOf) !== 0;

/** The tables of 24 make infinity the largest number in all four formats. */
const toFloat8: Affects = (n, typeOf) => {
  const type = declaredType(n) ?? typeOf(n.outputs[0] ?? "");
  return intAttribute(n, "saturate", 1) !== 0 && (type?.kind !== "tensor" || type.dtype.startsWith("float8"));
};

const reduction =
  (...kinds: readonly string[]): Affects =>
  (n) =>
    kinds.includes(String(text(n, "reduction") ?? "none"));

/** Until 8 all inputs had one shape. */
const broadcasts: Affects = (n) => n.inputs.length > 1;

/**
 * Versions above 7 that changed what a node means which both versions accept. What they only added (types, attributes,
 * inputs) is seen in the schemas and not here. From the texts of ONNX 1.22's operator changelog.
 */
export const breaks: ReadonlyMap<string, ReadonlyMap<number, Affects>> = new Map<string, ReadonlyMap<number, Affects>>([
  ["ArgMax", new Map([[11, negativeAxis]])],
  ["ArgMin", new Map([[11, negativeAxis]])],
  // 23 knew no mask together with is_causal, and no fourth output after it.
  ["Attention", new Map([[24, (n: Node) => intAttribute(n, "is_causal", 0) !== 0 || Boolean(n.outputs[3])]])],
  // 19 and 22 changed how many windows there are, and what the last divides by.
  [
    "AveragePool",
    new Map([
      [11, samePadding],
      [19, ceiling],
      [22, ceiling],
    ]),
  ],
  ["Cast", new Map([[24, toFloat8]])],
  ["CastLike", new Map([[24, toFloat8]])],
  ["Compress", new Map([[11, negativeAxis]])],
  ["Concat", new Map([[11, negativeAxis]])],
  ["ConvTranspose", new Map([[11, (n: Node, t: TypeOf) => samePadding(n, t) || n.attributes.has("output_shape")]])],
  ["DFT", new Map([[20, always]])],
  ["DequantizeLinear", new Map([[13, perChannel]])],
  // The mask meant nothing when nothing is dropped.
  ["Dropout", new Map([[12, (n: Node) => Boolean(n.outputs[1])]])],
  ["Flatten", new Map([[11, negativeAxis]])],
  // Indices may be negative since 11.
  ["Gather", new Map([[11, always]])],
  [
    "GridSample",
    new Map([
      [
        20,
        (n: Node, t: TypeOf) => !["nearest", undefined].includes(text(n, "mode") as string) || rankOf(n, 0, t) !== 4,
      ],
    ]),
  ],
  // Scale and bias were by group.
  ["GroupNormalization", new Map([[21, always]])],
  [
    "Hardmax",
    new Map([
      [11, negativeAxis],
      [13, notLastAxis],
    ]),
  ],
  ["If", new Map([[11, always]])],
  [
    "LogSoftmax",
    new Map([
      [11, negativeAxis],
      [13, notLastAxis],
    ]),
  ],
  ["Loop", new Map([[11, always]])],
  ["LpPool", new Map([[11, samePadding]])],
  ["Max", new Map([[8, broadcasts]])],
  [
    "MaxPool",
    new Map([
      [12, samePadding],
      [22, ceiling],
    ]),
  ],
  ["Mean", new Map([[8, broadcasts]])],
  ["Min", new Map([[8, broadcasts]])],
  ["OneHot", new Map([[11, always]])],
  ["OptionalGetElement", new Map([[18, always]])],
  ["OptionalHasElement", new Map([[18, always]])],
  ["Pad", new Map([[19, (n: Node) => text(n, "mode") === "wrap"]])],
  ["QuantizeLinear", new Map([[13, perChannel]])],
  [
    "Resize",
    new Map([
      [11, always],
      [19, (n: Node) => text(n, "coordinate_transformation_mode") === "half_pixel_symmetric"],
    ]),
  ],
  // The default moved the boxes by half a pixel.
  ["RoiAlign", new Map([[16, always]])],
  [
    "Scan",
    new Map([
      [9, always],
      [11, (n: Node) => isNegative(n, "scan_input_axes") || isNegative(n, "scan_output_axes")],
    ]),
  ],
  ["ScatterElements", new Map([[18, reduction("max", "min")]])],
  ["ScatterND", new Map([[18, reduction("max", "min")]])],
  ["Slice", new Map([[11, always]])],
  [
    "Softmax",
    new Map([
      [11, negativeAxis],
      [13, notLastAxis],
    ]),
  ],
  ["Split", new Map([[11, negativeAxis]])],
  ["Sum", new Map([[8, broadcasts]])],
  ["TopK", new Map([[11, (n: Node) => isNegative(n, "axis") && intAttribute(n, "axis", -1) !== -1]])],
]);
