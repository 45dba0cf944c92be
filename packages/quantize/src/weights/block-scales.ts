import type { Chunks } from "@pare/core";
import { type CodeFormat, codeFormats, minMax } from "@pare/ops/kernels";
import { type Affine, affineOf, codeLimits, emptyRanges } from "./affine.ts";
import { type Granularity, layoutOf } from "./layout.ts";
import { shareSearch } from "./share-search.ts";

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
  const runs = layoutOf([band.length / columns, columns], { kind: "channel", axis: 1 }).runs(0, band.length);
  const ranges = emptyRanges(columns);
  minMax(band, runs, ranges);
  const search = shareSearch(
    (r) => affineOf(r, codeLimits(codeFormats[format].bits, symmetric), symmetric, name),
    ranges,
    codeFormats[format],
  );
  search.add(band, runs);
  return search.best();
}
