import { type DType, intAttribute } from "@pare/core";
import { dtypeOfCode } from "../dtype-codes.ts";
import { eachIndex, type Nd, newData, numbersOf, stridesOf, wholeAxis } from "./array.ts";
import { type Call, type EvaluateRule, type EvaluateRules, input, int } from "./rule.ts";

const limits: Partial<Record<DType, readonly [number, number]>> = {
  int8: [-128, 127],
  uint8: [0, 255],
  int16: [-32768, 32767],
  uint16: [0, 65535],
  int32: [-2147483648, 2147483647],
};

/** For each element, where its scale and zero point stand: per tensor, per axis, or in blocks along an axis. */
function groupsOf(call: Call, x: Nd, scale: Nd): Int32Array {
  const groups = new Int32Array(x.data.length);
  if (scale.data.length === 1) return groups;
  const axis = wholeAxis(int(call, "axis", 1), x.shape.length);
  const block = int(call, "block_size", 0);
  const strides = stridesOf(scale.shape);
  eachIndex(x.shape, (index, flat) => {
    groups[flat] =
      block === 0
        ? index[axis]!
        : index.reduce((sum, i, k) => sum + (k === axis ? Math.floor(i / block) : i) * strides[k]!, 0);
  });
  return groups;
}

const roundEven = (x: number) => (Math.abs(x) < 2 ** 51 ? x + 6755399441055744 - 6755399441055744 : x);

const quantize: EvaluateRule = (call) => {
  const [x, scale] = [input(call, 0), input(call, 1)];
  const zero = call.inputs[2];
  const code = intAttribute(call.node, "output_dtype", 0);
  const dtype = zero?.dtype ?? (code ? dtypeOfCode(code) : "uint8");
  const [low, high] = limits[dtype]!;
  const groups = groupsOf(call, x, scale);
  const data = newData(dtype, x.shape) as Float64Array;
  numbersOf(x).forEach((v, i) => {
    const g = groups[i]!;
    // The division is that of float32, as runtimes do it.
    const q = roundEven(Math.fround(v / Number(scale.data[g]))) + Number(zero?.data[g] ?? 0);
    data[i] = Math.max(low, Math.min(high, q));
  });
  return [{ dtype, shape: x.shape, data }];
};

const dequantize: EvaluateRule = (call) => {
  const [x, scale] = [input(call, 0), input(call, 1)];
  const zero = call.inputs[2];
  const groups = groupsOf(call, x, scale);
  const data = numbersOf(x).map((q, i) => (q - Number(zero?.data[groups[i]!] ?? 0)) * Number(scale.data[groups[i]!]));
  return [{ dtype: scale.dtype, shape: x.shape, data }];
};

export const quantization: EvaluateRules = { QuantizeLinear: quantize, DequantizeLinear: dequantize };
