import { attribute, intAttribute, type Node } from "@pare/core";

/** Whether a Gemm is the product of its factors, as they are or the second transposed, and a sum. */
export const isPlainGemm = (n: Node): boolean =>
  intAttribute(n, "transA", 0) === 0 &&
  (attribute(n, "alpha", "float") ?? 1) === 1 &&
  (attribute(n, "beta", "float") ?? 1) === 1;
