import { deriveTensor, type Tensor } from "@pare/core";
import type { ChannelLayout } from "./channels.ts";

/** A weight with the elements of each input and output channel multiplied by powers of two, which is exact. */
export function scaledChannels(
  source: Tensor<"float32">,
  layout: ChannelLayout,
  input: Float64Array,
  output: Float64Array,
): Tensor<"float32"> {
  return deriveTensor(source, {
    key: `scale-channels@1:${digest(input)}${digest(output)}`,
    map: (data, _, start) =>
      data.map((x, k) => x * input[layout.input(start + k)]! * output[layout.output(start + k)]!),
  });
}

/** FNV-1a of the exponents of powers of two. */
function digest(factors: Float64Array): string {
  let hash = 0xcbf29ce484222325n;
  for (const f of factors) hash = BigInt.asUintN(64, (hash ^ BigInt(Math.log2(f) + 2048)) * 0x100000001b3n);
  return hash.toString(16);
}
