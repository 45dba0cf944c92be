import {
  computedTensor,
  type DType,
  dataOf,
  deriveTensor,
  elementCount,
  elementsOf,
  memo,
  resident,
  type Tensor,
} from "@pare/core";
import { type CodeFormat, codeFormats, type Ranges, toCodes } from "@pare/ops/kernels";
import { pack } from "@pare/ops/numeric";
import { balance } from "../static/balance.ts";
import { type Affine, affineOf, type CodeLimits, codeLimits, rangesOf } from "./affine.ts";
import { leastErrorAffine } from "./block-scales.ts";
import { type Granularity, groupsOf, layoutOf } from "./layout.ts";
import { shareSearch } from "./share-search.ts";

/** A weight as integer codes and what decodes them, all computed when first read. */
export interface EncodedWeight {
  readonly codes: Tensor;
  readonly scale: Tensor<"float32">;
  /** Missing where it is 0 throughout. */
  readonly zeroPoint: Tensor | undefined;
  readonly affine: (signal?: AbortSignal) => Promise<Affine>;
}

/** Codes before they are packed. */
export type CodeArray = Int8Array | Int16Array;

/**
 * How codes are chosen: the nearest; the nearest but for a few, moved so that the rounding errors of a channel cancel; or all
 * at once by what is known of the inputs.
 */
export type Rounding =
  | "nearest"
  | "balanced"
  | { readonly key: string; readonly codes: (data: Float32Array, affine: Affine, groups: Int32Array) => CodeArray };

export interface EncodeOptions {
  /** Name of the weight in messages. */
  readonly name: string;
  readonly format: CodeFormat;
  readonly granularity: Granularity;
  readonly symmetric: boolean;
  readonly rounding: Rounding;
  /** The codes that are used of the format, by default all of them. */
  readonly limits?: CodeLimits | undefined;
  /** Whether scales are searched under which the squared error is least; otherwise ranges are kept whole. */
  readonly leastError?: boolean;
  /** Changes scales before anything is encoded, in place; `key` says how. */
  readonly adjust?:
    | { readonly key: string; readonly scales: (scale: Float32Array, ranges: Ranges) => void }
    | undefined;
}

/** Derives codes, scales and zero points; the ranges are found when one of them is first read. */
export function encoded(source: Tensor<"float32">, options: EncodeOptions): EncodedWeight {
  const { name, format, granularity, symmetric, rounding, leastError = false, adjust } = options;
  const layout = layoutOf(source.shape, granularity);
  const limits = options.limits ?? codeLimits(codeFormats[format].bits, symmetric);
  const affine = memo(async (signal) => {
    if (leastError && granularity.kind === "block")
      return leastErrorAffine(source.shape, granularity, elementsOf(source, signal), format, symmetric, name);
    const ranges = await rangesOf(layout, elementsOf(source, signal));
    const affine = (r: Ranges) => affineOf(r, limits, symmetric, name);
    let found = affine(ranges);
    if (leastError) {
      const search = shareSearch(affine, ranges, limits);
      for await (const { data, start } of elementsOf(source, signal)) search.add(data, layout.runs(start, data.length));
      found = search.best();
    }
    adjust?.scales(found.scale, ranges);
    return found;
  });
  const how = typeof rounding === "string" ? rounding : rounding.key;
  const key = `${format}@1:${JSON.stringify([granularity, symmetric, how, limits, leastError, adjust?.key])}`;
  const stored = (codes: CodeArray) => (codeFormats[format].bits === 4 ? pack("int4", codes as Int8Array) : codes);
  const dtype = format as "int8";
  const keyed = (part: string) => (source.key === undefined ? {} : { key: `${source.key}|${key}.${part}` });
  return {
    affine,
    codes:
      typeof rounding === "string"
        ? deriveTensor(source, {
            key,
            dtype: dtype as DType,
            prepare: (_, signal) => affine(signal),
            map(data, a, start) {
              const runs = layout.runs(start, data.length);
              const pieces = toCodes(format, data, runs, a);
              // What is cut ends at the last code that is used, which the format may have more of.
              if (leastError && granularity.kind !== "block")
                pieces.forEach((c, i) => void (pieces[i] = Math.max(limits.min, Math.min(limits.max, c))));
              if (rounding === "balanced") balance(pieces as CodeArray, data, runs, a, limits);
              return pieces;
            },
          })
        : computedTensor({
            dtype,
            shape: source.shape,
            ...keyed("codes"),
            compute: async (signal) =>
              stored(
                rounding.codes(
                  dataOf(await resident(source, signal)) as Float32Array,
                  await affine(signal),
                  groupsOf(layout, elementCount(source.shape)),
                ),
              ) as Int8Array,
          }),
    scale: computedTensor({
      dtype: "float32",
      shape: layout.scaleShape,
      ...keyed("scale"),
      compute: async (signal) => (await affine(signal)).scale,
    }),
    zeroPoint: symmetric
      ? undefined
      : computedTensor({
          dtype,
          shape: layout.scaleShape,
          ...keyed("zero"),
          compute: async (signal) => stored(Int8Array.from((await affine(signal)).zeroPoint)) as Int8Array,
        }),
  };
}
