import { type Layer, sequential } from "../layer.ts";
import { positions, tokenMean, tokens, transformerBlock } from "../layers/combine.ts";
import { batchNorm, layerNorm, relu } from "../layers/elementwise.ts";
import { conv2d, dense } from "../layers/linear.ts";

export interface VitOptions {
  readonly classes?: number;
  /** Features of a token, blocks, heads, and features between the dense layers of a block. */
  readonly width?: number;
  readonly depth?: number;
  readonly heads?: number;
  readonly hidden?: number;
}

/**
 * A small transformer over images of `[1, 28, 28]`: two convolutions make 49 tokens, whose mean is classified. Dosovitskiy et al.
 * (2020), with the stem of Xiao et al. (2021).
 */
export const vitSmall = ({ classes = 10, width = 64, depth = 5, heads = 4, hidden = 192 }: VitOptions = {}): Layer =>
  sequential(
    ...[conv2d(32, 3, { stride: 2, padding: 1, bias: false }), batchNorm(), relu()],
    ...[conv2d(width, 2, { stride: 2, padding: "valid" }), tokens(), positions()],
    ...Array.from({ length: depth }, () => transformerBlock({ heads, hidden })),
    ...[layerNorm(), tokenMean(), dense(classes)],
  );
