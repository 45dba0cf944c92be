import { type Layer, named, sequential } from "../layer.ts";
import { residual } from "../layers/combine.ts";
import { batchNorm, relu } from "../layers/elementwise.ts";
import { conv2d, dense } from "../layers/linear.ts";
import { globalAveragePool, maxPool } from "../layers/window.ts";

const normalized = (filters: number, kernel: number, stride = 1): Layer[] => [
  conv2d(filters, kernel, { stride, padding: (kernel - 1) / 2, bias: false }),
  batchNorm(),
];

/** Adds to what the body makes its input, projected where it is another shape. */
const block = (filters: number, stride: number, body: (filters: number, stride: number) => Layer[]): Layer =>
  named("block", (scope, x) => {
    const isAlike = stride === 1 && x.shape[0] === filters;
    const shortcut = isAlike ? undefined : sequential(...normalized(filters, 1, stride));
    return relu()(scope, residual(sequential(...body(filters, stride)), shortcut)(scope, x));
  });

const basic = (filters: number, stride: number): Layer[] => [
  ...[...normalized(filters, 3, stride), relu()],
  ...normalized(filters, 3),
];

/** Of a quarter of the filters inside; the stride is in the middle, as in torchvision. */
const bottleneck = (filters: number, stride: number): Layer[] => [
  ...[...normalized(filters / 4, 1), relu()],
  ...[...normalized(filters / 4, 3, stride), relu()],
  ...normalized(filters, 1),
];

/** For small images: three stages of `depth` blocks of 16, 32 and 64 filters. He et al. (2015), section 4.2. */
const small = (depth: number, classes: number): Layer =>
  sequential(
    ...[...normalized(16, 3), relu()],
    ...[16, 32, 64].flatMap((filters, stage) =>
      Array.from({ length: depth }, (_, i) => block(filters, stage > 0 && i === 0 ? 2 : 1, basic)),
    ),
    ...[globalAveragePool(), dense(classes)],
  );

/** ResNet-8, of MLPerf Tiny, for small images. */
export const resnet8 = (classes = 10): Layer => small(1, classes);
/** ResNet-20, for `[3, 32, 32]`, with projections: 272,474 parameters. */
export const resnet20 = (classes = 10): Layer => small(3, classes);

/** ResNet-50, for `[3, 224, 224]`: 25,557,032 parameters. He et al. (2015). */
export const resnet50 = (classes = 1000): Layer =>
  sequential(
    ...[...normalized(64, 7, 2), relu(), maxPool(3, { stride: 2, padding: 1 })],
    ...[3, 4, 6, 3].flatMap((depth, stage) =>
      Array.from({ length: depth }, (_, i) => block(256 * 2 ** stage, stage > 0 && i === 0 ? 2 : 1, bottleneck)),
    ),
    ...[globalAveragePool(), dense(classes)],
  );
