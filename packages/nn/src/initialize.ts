import { CHUNK_BYTES, elementCount, lazyTensor, RESIDENT_LIMIT, type Tensor, tensor } from "@pare/core";

/** How the weight of a layer begins. */
export interface Initializer {
  readonly name: string;
  /** The element with this number of a weight, given draws that depend on seed, weight and number alone. */
  element(draw: Draw, fan: Fan): (index: number) => number;
}

/** How many inputs an output of a layer has, and how many outputs an input. */
export interface Fan {
  readonly in: number;
  readonly out: number;
}

/** Numbers by their place, from 0 to 1, both exclusive. */
export type Draw = (place: number) => number;

const constant = (name: string, value: number): Initializer => ({ name, element: () => () => value });
export const zeros = constant("zeros", 0);
export const ones = constant("ones", 1);

/** Normally distributed numbers by Box and Muller (1958): a pair of draws for each. */
const gaussian = (draw: Draw, deviation: number) => (i: number) =>
  deviation * Math.sqrt(-2 * Math.log(draw(2 * i))) * Math.cos(2 * Math.PI * draw(2 * i + 1));

const between = (draw: Draw, limit: number) => (i: number) => limit * (2 * draw(i) - 1);

/** For layers before a ReLU: deviation `sqrt(2 / fan in)`. He et al., Delving Deep into Rectifiers (2015). */
export const heNormal: Initializer = {
  name: "he-normal",
  element: (draw, fan) => gaussian(draw, Math.sqrt(2 / fan.in)),
};

/** From `-sqrt(6 / (in + out))` to that. Glorot and Bengio, Understanding the Difficulty of Training (2010). */
export const glorotUniform: Initializer = {
  name: "glorot-uniform",
  element: (draw, fan) => between(draw, Math.sqrt(6 / (fan.in + fan.out))),
};

/** Deviation `sqrt(1 / fan in)`. LeCun et al., Efficient BackProp (1998). */
export const lecunNormal: Initializer = {
  name: "lecun-normal",
  element: (draw, fan) => gaussian(draw, Math.sqrt(1 / fan.in)),
};

/** From `-1 / sqrt(fan in)` to that, as PyTorch begins biases. */
export const fanInUniform: Initializer = {
  name: "fan-in-uniform",
  element: (draw, fan) => between(draw, 1 / Math.sqrt(fan.in)),
};

/** Deviation `deviation`, and nothing beyond two of it, as transformers begin. */
export const truncatedNormal = (deviation = 0.02): Initializer => ({
  name: "truncated-normal",
  element: (draw) => (i) => {
    // The inverse of the distribution between its bounds has no closed form: what is outside is drawn again.
    for (let attempt = 0; ; attempt++) {
      const value = gaussian(draw, 1)(i + attempt * STRIDE);
      if (Math.abs(value) <= 2) return deviation * value;
    }
  },
});

/** Places that no weight has. */
const STRIDE = 2 ** 31;

/** A weight of float32; a large one is computed in pieces when it is read. The same seed and name give the same numbers. */
export function initialized(
  initializer: Initializer,
  shape: readonly number[],
  fan: Fan,
  seed: number,
  name: string,
): Tensor<"float32"> {
  const element = initializer.element(drawsOf(seed, name), fan);
  const count = elementCount(shape);
  const part = (from: number, to: number) => Float32Array.from({ length: to - from }, (_, i) => element(from + i));
  if (4 * count <= RESIDENT_LIMIT) return tensor("float32", shape, part(0, count));
  return lazyTensor({
    dtype: "float32",
    shape,
    key: `${initializer.name}|${shape}|${fan.in},${fan.out}|${seed}|${name}`,
    async read({ offset, length }, signal) {
      const bytes = new Uint8Array(length);
      const end = offset + length;
      for (let at = offset; at < end; ) {
        signal?.throwIfAborted();
        const first = Math.floor(at / 4);
        const last = Math.min(count, first + CHUNK_BYTES / 4);
        const piece = new Uint8Array(part(first, last).buffer).subarray(at - 4 * first, end - 4 * first);
        bytes.set(piece, at - offset);
        at += piece.length;
        // Others may run in between.
        await undefined;
      }
      return bytes;
    },
  });
}

/** Draws of a weight: its place, name and seed through the finalizer of MurmurHash3 (Appleby). */
function drawsOf(seed: number, name: string): Draw {
  let start = mixed(seed);
  for (const c of name) start = mixed(start ^ c.codePointAt(0)!);
  return (place) => {
    const low = mixed(start ^ (place >>> 0));
    const high = place >= 2 ** 32 ? mixed(low ^ Math.floor(place / 2 ** 32)) : low;
    return (mixed(high + 0x9e3779b9) + 0.5) / 2 ** 32;
  };
}

/** Every bit of a 32-bit integer in every bit of another. */
function mixed(given: number): number {
  let x = given >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
