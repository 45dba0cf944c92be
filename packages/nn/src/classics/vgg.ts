import { type Layer, sequential } from "../layer.ts";
import { flatten } from "../layers/combine.ts";
import { batchNorm, dropout, relu } from "../layers/elementwise.ts";
import { conv2d, dense } from "../layers/linear.ts";
import { maxPool } from "../layers/window.ts";

/** Stages of convolutions, each halved by a pooling. */
const stages = (widths: readonly (readonly number[])[], norm: boolean): Layer[] =>
  widths.flatMap((stage) => [
    ...stage.flatMap((filters) => [conv2d(filters, 3, { bias: !norm }), ...(norm ? [batchNorm()] : []), relu()]),
    maxPool(2),
  ]);

const large = (widths: readonly (readonly number[])[], classes: number): Layer =>
  sequential(
    ...stages(widths, false),
    flatten(),
    ...[dense(4096), relu(), dropout(0.5), dense(4096), relu(), dropout(0.5), dense(classes)],
  );

/** VGG-11, configuration A, for `[3, 224, 224]`: 132,863,336 parameters. Simonyan and Zisserman (2014). */
export const vgg11 = (classes = 1000): Layer => large([[64], [128], [256, 256], [512, 512], [512, 512]], classes);

/** VGG-16, configuration D, for `[3, 224, 224]`: 138,357,544 parameters. */
export const vgg16 = (classes = 1000): Layer =>
  large(
    [
      [64, 64],
      [128, 128],
      [256, 256, 256],
      [512, 512, 512],
      [512, 512, 512],
    ],
    classes,
  );

/** A small one of six convolutions with normalization, for `[1, 28, 28]`. */
export const vggSmall = (classes = 10): Layer =>
  sequential(
    ...stages(
      [
        [16, 16],
        [32, 32],
        [64, 64],
      ],
      true,
    ),
    flatten(),
    dense(256),
    relu(),
    dense(classes),
  );
