import type { Pass } from "@pare/core";

/** Passes that change the format of weights, and the suffix of what they make. */
const suffixes = new Map<string, (options: unknown) => string>([
  ["float16", () => "_fp16"],
  ["int8-weights", () => "_int8"],
  ["block-weights", (options) => ((options as { bits: number }).bits === 4 ? "_q4" : "_quantized")],
  ...["int12-weights", "fixed-point", "int8", "dynamic-int8"].map((n): [string, () => string] => [
    n,
    () => "_quantized",
  ]),
]);

/**
 * The suffix by which transformers.js finds a version of a model: `_fp16` for float16, `_int8` for int8 weights, `_q4` for
 * blocks of 4 bits, `_quantized` for other codes and mixtures; `_small` where the format of the weights stays.
 */
export function suffixOf(passes: readonly Pass[]): string {
  const kinds = new Set(
    passes.flatMap((p) => {
      const suffix = p.steps ? suffixOf(p.steps) : suffixes.get(p.name)?.(p.options);
      return suffix && suffix !== "_small" ? [suffix] : [];
    }),
  );
  return kinds.size === 0 ? "_small" : kinds.size === 1 ? [...kinds][0]! : "_quantized";
}
