import { bernoulli, cosineWindow, gelu, hardSwish, mish, swish } from "./activations.ts";
import { attention, rotaryEmbedding } from "./attention.ts";
import type { Lower } from "./builder.ts";
import { batchNormalization, groupNormalization, layerNormalization, rmsNormalization } from "./normalize.ts";
import { getElement, hasElement } from "./optional.ts";
import { dequantizeLinear, quantizeLinear } from "./quantize.ts";
import { batchFirst, causalConv, linearAttention } from "./recurrent.ts";
import { cumProd, reduceAxes } from "./reduce.ts";
import { affineGrid, castLike, centerCropPad, pad, reshape, shape, split, tensorScatter, trilu } from "./shape.ts";
import { averagePool, dft, gridSample, maxPool, resize, resizeSymmetric, roiAlign } from "./window.ts";

type Entry = readonly [op: string, ...versions: readonly (readonly [version: number, lower: Lower])[]];

const entries: readonly Entry[] = [
  ["AffineGrid", [20, affineGrid]],
  ["Attention", [23, attention], [24, attention]],
  ["AveragePool", [19, averagePool], [22, averagePool]],
  ["BatchNormalization", [14, batchNormalization]],
  ["Bernoulli", [15, bernoulli]],
  ["BlackmanWindow", [17, cosineWindow(0.42, 0.5, 0.08)]],
  ["CastLike", [15, castLike]],
  ["CausalConvWithState", [27, causalConv]],
  ["CenterCropPad", [18, centerCropPad]],
  ["CumProd", [26, cumProd]],
  ["DFT", [20, dft]],
  ["DequantizeLinear", [21, dequantizeLinear], [23, dequantizeLinear]],
  ["GRU", [14, batchFirst(1)]],
  ["Gelu", [20, gelu]],
  ["GridSample", [20, gridSample]],
  ["GroupNormalization", [21, groupNormalization]],
  ["HammingWindow", [17, cosineWindow(25 / 46, 21 / 46)]],
  ["HannWindow", [17, cosineWindow(0.5, 0.5)]],
  ["HardSwish", [14, hardSwish]],
  ["LSTM", [14, batchFirst(2)]],
  ["LayerNormalization", [17, layerNormalization]],
  ["LinearAttention", [27, linearAttention]],
  ["MaxPool", [22, maxPool]],
  ["Mish", [18, mish]],
  ["OptionalGetElement", [18, getElement]],
  ["OptionalHasElement", [18, hasElement]],
  ["Pad", [18, pad]],
  ["QuantizeLinear", [19, quantizeLinear], [21, quantizeLinear], [23, quantizeLinear]],
  ["RMSNormalization", [23, rmsNormalization]],
  ["RNN", [14, batchFirst(1)]],
  ...["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare"].map(
    (kind): Entry => [`Reduce${kind}`, [18, reduceAxes]],
  ),
  ["Reshape", [14, reshape]],
  ["Resize", [18, resize], [19, resizeSymmetric]],
  ["RoiAlign", [16, roiAlign]],
  ["RotaryEmbedding", [23, rotaryEmbedding]],
  ["Shape", [15, shape]],
  ["Split", [18, split]],
  ["Swish", [24, swish]],
  ["TensorScatter", [24, tensorScatter]],
  ["Trilu", [14, trilu]],
];

/**
 * How to say what a version brought in words of the versions before it, by operator: a change taken back, or the body that
 * ONNX 1.22 gives to a new operator. What is not here is refused, or only new in its element types, which are widened.
 */
export const lowerings: ReadonlyMap<string, ReadonlyMap<number, Lower>> = new Map(
  entries.map(([op, ...versions]) => [op, new Map(versions)]),
);
