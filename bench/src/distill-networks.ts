import type { Model } from "@pare/core";
import { batchNorm, build, conv2d, dense, dropout, flatten, type Layer, maxPool, relu, sequential } from "@pare/nn";

const stage = (filters: number, convolutions: number): Layer[] => [
  ...Array.from({ length: convolutions }, () => [conv2d(filters, 3, { bias: false }), batchNorm(), relu()]).flat(),
  maxPool(2),
];

/** Five convolutions in the manner of VGG. */
export const teacherNetwork = (seed: number): Model =>
  build(
    sequential(
      ...[...stage(16, 1), ...stage(48, 2), ...stage(96, 2)],
      ...[flatten(), dropout(0.3), dense(256), relu(), dense(10)],
    ),
    { input: [1, 28, 28], inputName: "image", seed },
  );
