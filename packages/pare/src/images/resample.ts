import type { Pixels } from "./decode.ts";

/** A part of an image, in its pixels. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/**
 * A part of an image at another size, by a triangle filter that is as wide as the scale where the image shrinks (what Pillow
 * calls BILINEAR), rows after columns, each rounded to 8 bits.
 */
export function resample(image: Pixels, box: Box, width: number, height: number): Pixels {
  const across = weightsOf(image.width, box.left, box.width, width);
  const down = weightsOf(image.height, box.top, box.height, height);
  const wide = new Uint8ClampedArray(width * image.height * 3);
  for (let y = 0; y < image.height; y++)
    for (let x = 0; x < width; x++) {
      const { first, shares } = across[x]!;
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let k = 0; k < shares.length; k++) sum += shares[k]! * image.rgb[(y * image.width + first + k) * 3 + c]!;
        wide[(y * width + x) * 3 + c] = Math.round(sum);
      }
    }
  const rgb = new Uint8ClampedArray(width * height * 3);
  for (let y = 0; y < height; y++) {
    const { first, shares } = down[y]!;
    for (let i = 0; i < width * 3; i++) {
      let sum = 0;
      for (let k = 0; k < shares.length; k++) sum += shares[k]! * wide[(first + k) * width * 3 + i]!;
      rgb[y * width * 3 + i] = Math.round(sum);
    }
  }
  return { width, height, rgb: new Uint8Array(rgb.buffer) };
}

interface Share {
  readonly first: number;
  readonly shares: readonly number[];
}

/** For each new pixel the old ones that it is made of. */
function weightsOf(size: number, start: number, length: number, count: number): Share[] {
  const scale = length / count;
  const reach = Math.max(1, scale);
  return Array.from({ length: count }, (_, i) => {
    const middle = start + (i + 0.5) * scale;
    const first = Math.max(0, Math.floor(middle - reach + 0.5));
    const end = Math.min(size, Math.floor(middle + reach + 0.5));
    const raw = Array.from({ length: end - first }, (_, k) =>
      Math.max(0, 1 - Math.abs(first + k + 0.5 - middle) / reach),
    );
    const sum = raw.reduce((a, b) => a + b, 0);
    return { first, shares: raw.map((w) => w / sum) };
  });
}
