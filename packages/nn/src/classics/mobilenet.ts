import { type Layer, named, sequential } from "../layer.ts";
import { residual } from "../layers/combine.ts";
import { batchNorm, dropout, relu, relu6 } from "../layers/elementwise.ts";
import { conv2d, dense, depthwiseConv2d } from "../layers/linear.ts";
import { globalAveragePool, type Pair } from "../layers/window.ts";

const pointwise = (filters: number, act = true): Layer[] => [
  conv2d(filters, 1, { bias: false }),
  batchNorm(),
  ...(act ? [relu6()] : []),
];

/** Wide inside, narrow outside, and linear there. Sandler et al. (2018). */
const inverted = (filters: number, stride: number, expansion: number): Layer =>
  named("inverted", (scope, x) => {
    const channels = x.shape[0]!;
    const body = sequential(
      ...(expansion > 1 ? pointwise(channels * expansion) : []),
      ...[depthwiseConv2d(3, { stride, padding: 1, bias: false }), batchNorm(), relu6()],
      ...pointwise(filters, false),
    );
    return (stride === 1 && channels === filters ? residual(body) : body)(scope, x);
  });

/** Rows of the paper's table: expansion, filters, repetitions, stride of the first. */
type Rows = readonly (readonly [number, number, number, number])[];

const blocks = (rows: Rows): Layer[] =>
  rows.flatMap(([expansion, filters, count, stride]) =>
    Array.from({ length: count }, (_, i) => inverted(filters, i === 0 ? stride : 1, expansion)),
  );

const stem = (filters: number): Layer[] => [
  conv2d(filters, 3, { stride: 2, padding: 1, bias: false }),
  batchNorm(),
  relu6(),
];

/** MobileNetV2, for `[3, 224, 224]`: 3,504,872 parameters. Sandler et al. (2018). */
export const mobilenetV2 = (classes = 1000): Layer =>
  sequential(
    ...stem(32),
    ...blocks([
      [1, 16, 1, 1],
      [6, 24, 2, 2],
      [6, 32, 3, 2],
      [6, 64, 4, 2],
      [6, 96, 3, 1],
      [6, 160, 3, 2],
      [6, 320, 1, 1],
    ]),
    ...[...pointwise(1280), globalAveragePool(), dropout(0.2), dense(classes)],
  );

/** A small one, for `[1, 28, 28]`. */
export const mobilenetV2Small = (classes = 10): Layer =>
  sequential(
    ...stem(16),
    ...blocks([
      [1, 16, 1, 1],
      [4, 24, 2, 2],
      [4, 40, 2, 2],
      [4, 64, 2, 1],
    ]),
    ...[...pointwise(160), globalAveragePool(), dense(classes)],
  );

/** DS-CNN for keywords in `[1, 49, 10]` of MFCC, as in MLPerf Tiny. Zhang et al., Hello Edge (2017). */
export const dsCnn = (classes = 12): Layer => {
  const apart = (): Layer[] => [...[depthwiseConv2d(3), batchNorm(), relu()], ...[conv2d(64, 1), batchNorm(), relu()]];
  const first: Pair = [10, 4];
  return sequential(
    ...[conv2d(64, first, { stride: 2 }), batchNorm(), relu(), dropout(0.2)],
    ...[...apart(), ...apart(), ...apart(), ...apart()],
    ...[dropout(0.4), globalAveragePool(), dense(classes)],
  );
};
