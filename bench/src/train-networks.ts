import { type Model, tensor, type Values } from "@pare/core";
import { build, type Layer, lenetCaffe, mobilenetV2Small, resnet8, vggSmall, vitSmall } from "@pare/nn";

const small =
  (make: () => Layer) =>
  (seed = 0): Model =>
    build(make(), { input: [1, 28, 28], inputName: "image", seed });

/** The networks of `models/` as they are trained: batch normalization where the files have it folded. */
export const trainNetworks: Readonly<Record<string, (seed?: number) => Model>> = {
  lenet: small(lenetCaffe),
  vgg: small(vggSmall),
  resnet8: small(resnet8),
  mobilenetv2: small(mobilenetV2Small),
  vit: small(vitSmall),
};

/** A batch of noise with labels. */
export function noise(size: number): Values {
  const pixels = Float32Array.from({ length: size * 784 }, (_, i) => Math.abs(Math.sin(12.9898 * i) * 43758.5453) % 1);
  const labels = BigInt64Array.from({ length: size }, (_, i) => BigInt(i % 10));
  return { image: tensor("float32", [size, 1, 28, 28], pixels), label: tensor("int64", [size], labels) };
}
