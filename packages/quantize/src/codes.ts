import { computedTensor, type DType, deriveTensor, elementsOf, memo, type Tensor } from "@pare/core";
import { type CodeFormat, type Ranges, toCodes } from "@pare/ops/kernels";
import { type Affine, affineOf, rangesOf } from "./affine.ts";
import { balance } from "./balance.ts";
import { type Granularity, layoutOf } from "./layout.ts";

/** A weight as integer codes and what decodes them, all computed when first read. */
export interface EncodedWeight {
  readonly codes: Tensor;
  readonly scale: Tensor<"float32">;
  readonly zeroPoint: Tensor;
  readonly affine: (signal?: AbortSignal) => Promise<Affine>;
}

export interface EncodeOptions {
  /** Name of the weight in messages. */
  readonly name: string;
  readonly format: CodeFormat;
  readonly granularity: Granularity;
  readonly symmetric: boolean;
  /** Whether codes are moved so that the rounding errors of a channel cancel. */
  readonly balanced: boolean;
  /** Bits that are used of the format. */
  readonly bits?: number | undefined;
  /** Changes scales before anything is encoded, in place; `key` says how. */
  readonly adjust?:
    | { readonly key: string; readonly scales: (scale: Float32Array, ranges: Ranges) => void }
    | undefined;
}

/** Derives codes, scales and zero points; the ranges are found when one of them is first read. */
export function encoded(source: Tensor<"float32">, options: EncodeOptions): EncodedWeight {
  const { name, format, granularity, symmetric, balanced, bits, adjust } = options;
  const layout = layoutOf(source.shape, granularity);
  const affine = memo(async (signal) => {
    const ranges = await rangesOf(layout, elementsOf(source, signal));
    const found = affineOf(ranges, format, symmetric, name, bits);
    adjust?.scales(found.scale, ranges);
    return found;
  });
  const key = `${format}@1:${JSON.stringify([granularity, symmetric, balanced, bits, adjust?.key])}`;
  const keyed = (part: string) => (source.key === undefined ? {} : { key: `${source.key}|${key}.${part}` });
  return {
    affine,
    codes: deriveTensor(source, {
      key,
      dtype: format as DType,
      prepare: (_, signal) => affine(signal),
      map(data, a, start) {
        const runs = layout.runs(start, data.length);
        const pieces = toCodes(format, data, runs, a);
        if (balanced) balance(pieces as Int8Array, data, runs, a);
        return pieces;
      },
    }),
    scale: computedTensor({
      dtype: "float32",
      shape: layout.scaleShape,
      ...keyed("scale"),
      compute: async (signal) => (await affine(signal)).scale,
    }),
    zeroPoint: computedTensor({
      dtype: "int8",
      shape: layout.scaleShape,
      ...keyed("zero"),
      compute: async (signal) => Int8Array.from((await affine(signal)).zeroPoint),
    }),
  };
}
