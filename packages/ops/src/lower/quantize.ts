import { attr, type DType, elementCount, isFloat, tensor } from "@pare/core";
import { dtypeOf } from "../dtype-codes.ts";
import { type Builder, type Lower, toType } from "./builder.ts";

/** Ranges of the codes that can be said with arithmetic. */
const ranges: { readonly [D in DType]?: readonly [number, number] } = {
  int8: [-128, 127],
  uint8: [0, 255],
  int16: [-32768, 32767],
  uint16: [0, 65535],
};

/**
 * Scales or zero points as float32, as they meet the elements of `x`: one for all, one for each index of the axis, or, in
 * blocks, repeated along it and cut to its length.
 */
function spread(b: Builder, v: string, x: string): string {
  const shape = b.shape(v) ?? b.refuse(`the shape of ${v} is not known`);
  const wide = b.cast(v, "float32");
  if (shape.length === 0) return wide;
  const rank = b.rank(x);
  const axis = b.intOf("axis", 1);
  const at = axis < 0 ? axis + rank : axis;
  if (at < 0 || at >= rank) b.refuse(`its input has no axis ${axis}`);
  const block = b.intOf("block_size", 0);
  if (block === 0) {
    if (shape.length !== 1) b.refuse("its scales are in blocks of unknown size");
    return shape[0] === 1 ? wide : b.add("Reshape", [wide, b.ints([-1, ...Array(rank - at - 1).fill(1)])]);
  }
  const apart = b.add("Unsqueeze", [wide, b.ints([at + 1])]);
  const many = b.add("Expand", [apart, b.ints(Array.from({ length: rank + 1 }, (_, i) => (i === at + 1 ? block : 1)))]);
  const parts = [b.ints([-1]), ...(at + 1 < rank ? [b.dims(v, at + 1)] : [])];
  const flat = b.add("Concat", at > 0 ? [b.dims(v, 0, at), ...parts] : parts, { axis: attr.int(0) });
  const along = b.dims(x, at, at === rank - 1 ? undefined : at + 1);
  return b.add("Slice", [b.add("Reshape", [many, flat]), b.ints([0]), along, b.ints([at])]);
}

/** Codes that the older version does not know: round(x / scale) + zero point, cut to their range. */
export const quantizeLinear: Lower = (b) => {
  const [x, scale, zero] = [b.input(0)!, b.input(1)!, b.input(2)];
  const dtype = zero ? b.dtype(zero) : (dtypeOf(b.intOf("output_dtype", 0)) ?? "uint8");
  const range = ranges[dtype] ?? b.refuse(`there is no ${dtype} yet`);
  const shape = b.shape(scale);
  const isOld = range[1] < 256 && b.intOf("block_size", 0) === 0;
  if (isOld && (zero || shape?.every((d) => typeof d === "number"))) {
    const zeros = () => b.constant(tensor(dtype, shape as number[], Array(elementCount(shape as number[])).fill(0)));
    const gone = { output_dtype: undefined, block_size: undefined, saturate: undefined, precision: undefined };
    return b.keep({ inputs: [x, scale, zero ?? zeros()], attributes: gone });
  }
  const scaled = b.add("Round", [b.add("Div", [b.cast(x, "float32"), spread(b, scale, x)])]);
  const moved = zero ? b.add("Add", [scaled, spread(b, zero, x)]) : scaled;
  const cut = b.add("Clip", [moved, b.float(range[0], "float32"), b.float(range[1], "float32")]);
  b.give("Cast", [cut], toType(dtype));
};

/** (x - zero point) * scale, where the older version does not know the codes, the blocks or the type of the result. */
export const dequantizeLinear: Lower = (b) => {
  const [x, scale, zero] = [b.input(0)!, b.input(1)!, b.input(2)];
  const from = b.dtype(x);
  if (!(from in ranges) && from !== "int32") b.refuse(`there is no ${from} yet`);
  const dtype = dtypeOf(b.intOf("output_dtype", 0)) ?? b.dtype(scale);
  if (!isFloat(dtype)) b.refuse(`it gives ${dtype}`);
  const wide = b.cast(x, "float32");
  const centred = zero ? b.add("Sub", [wide, spread(b, zero, x)]) : wide;
  b.give("Cast", [b.add("Mul", [centred, spread(b, scale, x)])], toType(dtype));
};
