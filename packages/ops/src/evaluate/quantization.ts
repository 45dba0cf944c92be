import { type DType, elementCount, failure, intAttribute } from "@pare/core";
import { dtypeOfCode } from "../dtype-codes.ts";
import { integerRange } from "../numeric/convert.ts";
import { roundEven } from "../numeric/formats.ts";
import { eachIndex, type Nd, nd, numbersOf, stridesOf, wholeAxis } from "./array.ts";
import { cast } from "./cast.ts";
import { conv, matmul } from "./linear.ts";
import { type Call, type EvaluateRule, type EvaluateRules, input, int } from "./rule.ts";

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

const quantize: EvaluateRule = (call) => {
  const [x, scale] = [input(call, 0), input(call, 1)];
  const zero = call.inputs[2];
  const code = intAttribute(call.node, "output_dtype", 0);
  const dtype = zero?.dtype ?? (code ? dtypeOfCode(code) : "uint8");
  const groups = groupsOf(call, x, scale);
  // The division is that of float32, as runtimes do it.
  const scaled = numbersOf(x).map((v, i) => Math.fround(v / Number(scale.data[groups[i]!])));
  if (!integerRange(dtype)) return [cast({ ...x, data: scaled }, dtype, { saturate: int(call, "saturate", 1) !== 0 })];
  return [toCodes(dtype, x.shape, scaled, (i) => Number(zero?.data[groups[i]!] ?? 0))];
};

/** Rounds to the nearest integer, ties to even, adds the zero point and saturates. */
function toCodes(dtype: DType, shape: readonly number[], scaled: Float64Array, zeroAt: (i: number) => number): Nd {
  const [low, high] = integerRange(dtype)!.map(Number) as [number, number];
  const data = scaled.map((v, i) => Math.max(low, Math.min(high, roundEven(v) + zeroAt(i))));
  return { dtype, shape, data };
}

/** Range and zero point from the values, which always hold 0. (ONNX 1.22, DynamicQuantizeLinear.) */
const dynamicQuantize: EvaluateRule = (call) => {
  const x = input(call, 0);
  const values = numbersOf(x);
  const high = values.reduce((a, b) => Math.max(a, b), 0);
  const low = values.reduce((a, b) => Math.min(a, b), 0);
  const scale = Math.fround((high - low) / 255);
  const zero = scale === 0 ? 0 : Math.max(0, Math.min(255, roundEven(Math.fround(-low / scale))));
  const y = toCodes(
    "uint8",
    x.shape,
    values.map((v) => (scale === 0 ? 0 : Math.fround(v / scale))),
    () => zero,
  );
  return [y, nd("float32", [], [scale]), nd("uint8", [], [zero])];
};

/** Codes without their zero point, which is one number, or one for each index of `axis`. */
function centred(x: Nd, zero: Nd | undefined, axis: number): Nd {
  const step = elementCount(x.shape.slice(axis + 1));
  const many = (zero?.data.length ?? 1) > 1;
  const data = numbersOf(x).map(
    (q, i) => q - Number(zero?.data[many ? Math.floor(i / step) % x.shape[axis]! : 0] ?? 0),
  );
  return { dtype: "int32", shape: x.shape, data };
}

const matMulInteger: EvaluateRule = (call) => {
  const [a, b] = [input(call, 0), input(call, 1)];
  return [matmul(call, centred(a, call.inputs[2], a.shape.length - 2), centred(b, call.inputs[3], b.shape.length - 1))];
};

const convInteger: EvaluateRule = (call) => [
  conv(call, centred(input(call, 0), call.inputs[2], 1), centred(input(call, 1), call.inputs[3], 0)),
];

/** A product of codes brought to the scale of the output; `axis` is that along which scales differ. */
function requantize(call: Call, product: Nd, [sa, sb, sy, zy]: readonly Nd[], axisA: number, axisB: number): Nd {
  const at = (s: Nd, i: number, axis: number) => {
    if (s.data.length === 1) return Number(s.data[0]);
    const size = product.shape[axis];
    if (s.data.length !== size) throw failure("ops/shape", `${call.node.op}: a scale of ${s.data.length} for ${size}`);
    return Number(s.data[Math.floor(i / elementCount(product.shape.slice(axis + 1))) % size]);
  };
  const scaled = numbersOf(product).map((v, i) => (v * at(sa!, i, axisA) * at(sb!, i, axisB)) / Number(sy!.data[0]));
  return toCodes(zy!.dtype, product.shape, scaled, () => Number(zy!.data[0]));
}

const qLinearMatMul: EvaluateRule = (call) => {
  const [a, sa, za, b, sb, zb, sy, zy] = eight(call);
  const product = matmul(call, centred(a, za, a.shape.length - 2), centred(b, zb, b.shape.length - 1));
  const rank = product.shape.length;
  return [requantize(call, product, [sa, sb, sy, zy], rank - 2, rank - 1)];
};

const qLinearConv: EvaluateRule = (call) => {
  const [x, sx, zx, w, sw, zw, sy, zy] = eight(call);
  const product = conv(call, centred(x, zx, 1), centred(w, zw, 0), call.inputs[8]);
  return [requantize(call, product, [sx, sw, sy, zy], 1, 1)];
};

/** Two operands with scale and zero point, and the scale and zero point of the result. */
function eight(call: Call) {
  const at = (i: number) => input(call, i);
  return [at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7)] as const;
}

const dequantize: EvaluateRule = (call) => {
  const [x, scale] = [input(call, 0), input(call, 1)];
  const zero = call.inputs[2];
  const groups = groupsOf(call, x, scale);
  const data = numbersOf(x).map((q, i) => (q - Number(zero?.data[groups[i]!] ?? 0)) * Number(scale.data[groups[i]!]));
  const code = intAttribute(call.node, "output_dtype", 0);
  return [{ dtype: code ? dtypeOfCode(code) : scale.dtype, shape: x.shape, data }];
};

export const quantization: EvaluateRules = {
  QuantizeLinear: quantize,
  DequantizeLinear: dequantize,
  DynamicQuantizeLinear: dynamicQuantize,
  MatMulInteger: matMulInteger,
  ConvInteger: convInteger,
  QLinearMatMul: qLinearMatMul,
  QLinearConv: qLinearConv,
};
