import { type DType, isFloat } from "@pare/core";
import { integerRange, isInteger } from "@pare/ops/numeric";
import type { Tensor, Tf } from "../engine.ts";
import { isComputed } from "../held.ts";
import { spreadTo } from "./axes.ts";
import { all, type Call, floats, input, int, type Rules, wholeAxis } from "./call.ts";

/** Scales or zero points against `x`: one, one for each index of an axis, or one for each block along it. */
function against(c: Call, v: Tensor, x: Tensor): Tensor {
  const { tf } = c;
  if (v.size === 1) return tf.reshape(v, []);
  const axis = wholeAxis(int(c, "axis", 1), x.rank);
  const block = int(c, "block_size", 0);
  if (block === 0)
    return tf.reshape(
      v,
      x.shape.map((d, i) => (i === axis ? d : 1)),
    );
  const wide = spreadTo(tf, tf.expandDims(v, axis + 1), [
    ...v.shape.slice(0, axis + 1),
    block,
    ...v.shape.slice(axis + 1),
  ]);
  const whole = tf.reshape(
    wide,
    v.shape.map((d, i) => (i === axis ? d * block : d)),
  );
  return tf.slice(
    whole,
    x.shape.map(() => 0),
    x.shape,
  );
}

/** To the nearest integer, ties to even, moved by the zero point and held in the range of the type. */
function codes(tf: Tf, scaled: Tensor, zero: Tensor | undefined, dtype: DType): Tensor {
  const [low, high] = integerRange(dtype)!.map(Number) as [number, number];
  const moved = zero ? tf.add(tf.round(scaled), tf.cast(zero, "float32")) : tf.round(scaled);
  return tf.cast(tf.clipByValue(moved, low, high), "int32");
}

function quantize(c: Call): Tensor {
  const x = input(c, 0);
  const zero = c.tensors[2];
  const scaled = c.tf.div(x, against(c, input(c, 1), x));
  return codes(c.tf, scaled, zero && against(c, zero, x), c.outputs[0]!);
}

function dequantize(c: Call): Tensor {
  const { tf } = c;
  const x = input(c, 0);
  const zero = c.tensors[2];
  const moved = zero ? tf.sub(x, against(c, zero, x)) : x;
  return tf.mul(tf.cast(moved, "float32"), against(c, input(c, 1), x));
}

function dynamicQuantize(c: Call): Tensor[] {
  const { tf } = c;
  const x = input(c, 0);
  const [low, high] = [tf.minimum(tf.min(x), 0), tf.maximum(tf.max(x), 0)];
  const scale = tf.div(tf.sub(high, low), 255);
  const safe = tf.where(tf.equal(scale, 0), tf.onesLike(scale), scale);
  const zero = codes(tf, tf.div(tf.neg(low), safe), undefined, "uint8");
  return [codes(tf, tf.div(x, safe), zero, "uint8"), scale, zero];
}

/** Between types that are carried alike, to truth values, and to floating-point numbers. */
function takesCast([from]: readonly (DType | undefined)[], [to]: readonly (DType | undefined)[]): boolean {
  if (!from || !to || from === "string") return false;
  if (isComputed(to) || to === "bool") return true;
  const widens = (a: DType, b: DType) => {
    const [p, q] = [integerRange(a), integerRange(b)];
    return p !== undefined && q !== undefined && p[0] >= q[0] && p[1] <= q[1];
  };
  return isInteger(to) && !isFloat(from) && widens(from, to);
}

export const quantization: Rules = {
  Cast: {
    compute(c) {
      const to = c.outputs[0]!;
      const x = input(c, 0);
      // A cast to truth values may only rename the type.
      if (to === "bool") return x.dtype === "bool" ? x : c.tf.notEqual(x, 0);
      return c.tf.cast(x, isComputed(to) ? "float32" : "int32");
    },
    reads: [],
    takes: takesCast,
  },
  DequantizeLinear: { ...all(dequantize), takes: (_, [y]) => isComputed(y) },
  DynamicQuantizeLinear: floats(dynamicQuantize),
  QuantizeLinear: { ...all(quantize), takes: ([x], [y]) => isComputed(x) && y !== undefined && isInteger(y) },
};
