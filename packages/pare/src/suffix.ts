import type { Pass } from "@pare/core";

/**
 * The suffix by which transformers.js finds a version of a model: `_fp16` for float16, `_int8` for int8 weights, `_quantized`
 * for other codes and mixtures; `_small` where the format of the weights stays.
 */
export function suffixOf(passes: readonly Pass[]): string {
  const kinds = new Set(
    passes.flatMap((p) =>
      p.steps
        ? [suffixOf(p.steps)]
        : p.name === "float16"
          ? ["_fp16"]
          : p.name === "int8-weights"
            ? ["_int8"]
            : p.name === "fixed-point"
              ? ["_quantized"]
              : [],
    ),
  );
  kinds.delete("_small");
  return kinds.size === 0 ? "_small" : kinds.size === 1 ? [...kinds][0]! : "_quantized";
}
