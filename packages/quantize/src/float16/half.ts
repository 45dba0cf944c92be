import { deriveTensor, type Tensor } from "@pare/core";
import { float32ToFloat16 } from "@pare/ops/numeric";

/** A tensor rounded to float16, ties to even, as it is read. */
export const toHalf = (source: Tensor<"float32">): Tensor<"float16"> =>
  deriveTensor(source, { key: "float16@1", dtype: "float16", map: (data) => float32ToFloat16(data) });
