import type { Chunks } from "@pare/core";
import { type CodeFormat, codeFormats } from "@pare/ops/kernels";
import { type Affine, affineOf } from "./affine.ts";
import type { Granularity } from "./layout.ts";

/** Shares of a block's range that are tried: cutting the few largest elements pays for finer steps of all others. */
const SHARES = Array.from({ length: 17 }, (_, i) => 1 - i / 40);

/**
 * Scales and zero points of blocks under which codes, each the nearest, have the least squared error, of ranges between 60 and
 * 100 % of each block's own. One sweep, with memory for one row of blocks.
 * @throws PareError `quantize/not-finite` naming the weight
 */
export async function leastErrorAffine(
  shape: readonly number[],
  { axis, size }: Extract<Granularity, { kind: "block" }>,
  chunks: Chunks<"float32">,
  format: CodeFormat,
  symmetric: boolean,
  name: string,
): Promise<Affine> {
  const length = shape[axis]!;
  const inner = shape.slice(axis + 1).reduce((n, d) => n * d, 1);
  const outer = shape.slice(0, axis).reduce((n, d) => n * d, 1);
  const blocks = Math.ceil(length / size);
  const found: Affine = {
    scale: new Float32Array(outer * blocks * inner),
    zeroPoint: new Int32Array(outer * blocks * inner),
  };
  const band = new Float32Array(Math.min(size, length) * inner);
  let group = 0;
  let index = 0;
  let filled = 0;
  for await (const { data } of chunks)
    for (let from = 0; from < data.length; ) {
      const wanted = Math.min(size, length - index) * inner;
      const piece = data.subarray(from, from + wanted - filled);
      band.set(piece, filled);
      filled += piece.length;
      from += piece.length;
      if (filled < wanted) continue;
      const best = leastError(band.subarray(0, wanted), inner, format, symmetric, name);
      found.scale.set(best.scale, group);
      found.zeroPoint.set(best.zeroPoint, group);
      group += inner;
      filled = 0;
      index = (index + size) % (blocks * size);
    }
  return found;
}

/** The best of each column of a row of blocks. */
function leastError(band: Float32Array, columns: number, format: CodeFormat, symmetric: boolean, name: string): Affine {
  const { min: lowest, max: highest } = codeFormats[format];
  const min = new Float32Array(columns).fill(Number.POSITIVE_INFINITY);
  const max = new Float32Array(columns).fill(Number.NEGATIVE_INFINITY);
  for (let i = 0, c = 0; i < band.length; i++) {
    min[c] = Math.min(min[c]!, band[i]!);
    max[c] = Math.max(max[c]!, band[i]!);
    if (++c === columns) c = 0;
  }
  const best = affineOf({ min, max }, format, symmetric, name);
  const least = new Float64Array(columns).fill(Number.POSITIVE_INFINITY);
  const errors = new Float64Array(columns);
  for (const share of SHARES) {
    const ranges = { min: min.map((x) => x * share), max: max.map((x) => x * share) };
    const { scale, zeroPoint } = affineOf(ranges, format, symmetric, name);
    errors.fill(0);
    for (let i = 0, c = 0; i < band.length; i++) {
      const z = zeroPoint[c]!;
      const code = Math.max(lowest, Math.min(highest, Math.round(band[i]! / scale[c]!) + z));
      const error = band[i]! - (code - z) * scale[c]!;
      errors[c]! += error * error;
      if (++c === columns) c = 0;
    }
    for (let c = 0; c < columns; c++) {
      if (errors[c]! >= least[c]!) continue;
      least[c] = errors[c]!;
      best.scale[c] = scale[c]!;
      best.zeroPoint[c] = zeroPoint[c]!;
    }
  }
  return best;
}
