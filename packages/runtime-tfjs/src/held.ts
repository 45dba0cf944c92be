/** Values of a model on both sides: as Pare has them, and as tensors of TensorFlow.js. */
import {
  type DType,
  dataOf,
  elementCount,
  type ResidentTensor,
  storageView,
  tensor as tensorOfBytes,
} from "@pare/core";
import { bigIntsOf, isInteger, numbersOf, tensorOf } from "@pare/ops/numeric";
import { fail } from "./codes.ts";
import type { Engine, Tensor, Tf } from "./engine.ts";

/** A value, on one side or on both. What a run has made is freed when nothing in it holds it any more. */
export interface Held {
  readonly dtype: DType;
  readonly shape: readonly number[];
  host?: ResidentTensor | undefined;
  device?: Tensor | undefined;
  /** Tensors that rules made of a weight and want again. */
  readonly made?: Map<string, Tensor> | undefined;
  holders: number;
  /** What the run that has made it has made and not freed yet; undefined where it is the session's. */
  alive: Set<Held> | undefined;
}

export const held = (t: ResidentTensor): Held => ({
  dtype: t.dtype,
  shape: t.shape,
  host: t,
  holders: 0,
  alive: undefined,
});

/** A result of a run on this side, held once. */
export function madeHere(alive: Set<Held>, t: ResidentTensor): Held {
  const v: Held = { ...held(t), holders: 1, alive };
  alive.add(v);
  return v;
}

/** A result of a run, held once. */
export function made(alive: Set<Held>, dtype: DType, device: Tensor): Held {
  const v: Held = { dtype, shape: device.shape, device, holders: 1, alive };
  alive.add(v);
  return v;
}

/** A weight, of which rules may keep what they make. */
export const heldWeight = (t: ResidentTensor): Held => ({ ...held(t), made: new Map() });

export function retain(v: Held): Held {
  v.holders++;
  return v;
}

export function release(v: Held): void {
  if (v.alive && --v.holders === 0) free(v);
}

/** A value of a run that becomes the session's. */
export function kept(v: Held): Held {
  if (!v.alive) return { ...v, device: v.device?.clone(), made: undefined };
  v.alive.delete(v);
  v.alive = undefined;
  return v;
}

/** Frees what is on the engine's side. */
export function free(v: Held): void {
  v.alive?.delete(v);
  v.device?.dispose();
  v.device = undefined;
  for (const t of v.made?.values() ?? []) t.dispose();
  v.made?.clear();
}

/** The type in which TensorFlow.js carries elements: each keeps its value. */
export function carrierOf(dtype: DType): "float32" | "int32" | "bool" | undefined {
  if (dtype === "bool") return "bool";
  if (isInteger(dtype)) return "int32";
  if (dtype === "float64" || dtype.startsWith("complex") || dtype === "string") return undefined;
  return "float32";
}

/** Element types that TensorFlow.js computes in; float16 and bfloat16 are rounded to after each node. */
export const isComputed = (dtype: DType | undefined): boolean =>
  dtype === "float32" || dtype === "float16" || dtype === "bfloat16";

const wide = new Set<DType>(["int64", "uint64", "uint32"]);

/** Whether all elements have their value on the engine's side too. */
export function fits(t: ResidentTensor, { largest }: Engine): boolean {
  if (!carrierOf(t.dtype)) return false;
  if (largest === 2 ** 31 - 1 && !wide.has(t.dtype)) return true;
  if (!isInteger(t.dtype)) return true;
  const low = largest === 2 ** 31 - 1 ? -largest - 1 : -largest;
  if (t.dtype === "int64" || t.dtype === "uint64")
    return bigIntsOf(t as ResidentTensor<"int64">).every((v) => v >= low && v <= largest);
  return numbersOf(t).every((v) => v >= low && v <= largest);
}

/** Puts a value on the engine's side. @throws PareError `tfjs/dtype` where elements would lose their value */
export function onDevice(engine: Engine, v: Held): Tensor {
  if (v.device) return v.device;
  const t = v.host!;
  if (!fits(t, engine))
    throw fail("tfjs/dtype", `TensorFlow.js has no tensors that hold these values of ${t.dtype}`, {
      hint: carrierOf(t.dtype) ? `It carries integers up to ${engine.largest}.` : "Use float32.",
    });
  v.device = engine.tf.keep(toTensor(engine.tf, t));
  return v.device;
}

export function toTensor(tf: Tf, t: ResidentTensor): Tensor {
  const carrier = carrierOf(t.dtype)!;
  const shape = [...t.shape];
  if (t.dtype === "float32") return tf.tensor(dataOf(t as ResidentTensor<"float32">), shape, "float32");
  if (carrier === "float32") return tf.tensor(Float32Array.from(numbersOf(t)), shape, "float32");
  if (carrier === "bool") return tf.tensor(dataOf(t as ResidentTensor<"bool">), shape, "bool");
  if (t.dtype === "int32") return tf.tensor(dataOf(t as ResidentTensor<"int32">), shape, "int32");
  return tf.tensor(Int32Array.from(numbersOf(t)), shape, "int32");
}

/** What was read of a tensor, as a value of Pare's. */
export function fromData(
  dtype: DType,
  shape: readonly number[],
  data: Float32Array | Int32Array | Uint8Array,
): ResidentTensor {
  // A tensor that was cast to a wider type may still have the elements that it had.
  const plain = { float32: Float32Array, int32: Int32Array, bool: Uint8Array }[dtype as string];
  if (plain) return tensorOfBytes(dtype, shape, data instanceof plain ? data : plain.from(data));
  if (dtype !== "int64" && dtype !== "uint64") return tensorOf(dtype, shape, data);
  const out = storageView(dtype, new Uint8Array(8 * elementCount(shape)));
  for (let i = 0; i < out.length; i++) out[i] = BigInt(data[i]!);
  return tensorOfBytes(dtype, shape, out);
}

const formats = {
  float16: { bits: 11, smallest: -14, largest: 65504 },
  bfloat16: { bits: 8, smallest: -126, largest: 3.3895313892515355e38 },
} as const;

/** Rounds to the nearest float16 or bfloat16, ties to even. */
export function rounded(tf: Tf, x: Tensor, dtype: "float16" | "bfloat16"): Tensor {
  const { bits, smallest, largest } = formats[dtype];
  const most = Math.floor(Math.log2(largest));
  // An exponent that is one off beside a power of two makes no difference: such numbers round to that power.
  const powers = Float32Array.from({ length: most - smallest + 1 }, (_, i) => 2 ** (smallest + i));
  const finite = tf.isFinite(x);
  const size = tf.where(finite, tf.abs(x), tf.scalar(1));
  const exponent = tf.floor(tf.div(tf.log(tf.maximum(size, powers[0]!)), Math.LN2));
  const place = tf.cast(tf.clipByValue(tf.sub(exponent, smallest), 0, powers.length - 1), "int32");
  // By two steps: the distance of the smallest numbers of bfloat16 is too small for the inverse of float32.
  const power = tf.gather(tf.tensor1d(powers), place);
  const codes = tf.round(tf.mul(tf.div(x, power), 2 ** (bits - 1)));
  const near = tf.mul(tf.div(codes, 2 ** (bits - 1)), power);
  const past = tf.greater(tf.abs(near), largest);
  const held = tf.where(finite, near, x);
  return tf.where(past, tf.mul(tf.sign(held), Number.POSITIVE_INFINITY), held);
}
