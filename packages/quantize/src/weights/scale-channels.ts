import { deriveTensor, type Tensor } from "@pare/core";
import { Fingerprint } from "@pare/ops/numeric";
import type { ChannelLayout } from "./channels.ts";

/** A weight with the elements of each input and output channel multiplied by powers of two, which is exact. */
export function scaledChannels(
  source: Tensor<"float32">,
  layout: ChannelLayout,
  input: Float64Array,
  output: Float64Array,
): Tensor<"float32"> {
  return deriveTensor(source, {
    key: `scale-channels@1:${new Fingerprint().add(input).add(output)}`,
    map: (data, _, start) =>
      data.map((x, k) => x * input[layout.input(start + k)]! * output[layout.output(start + k)]!),
  });
}
