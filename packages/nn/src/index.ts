export { lenet5, lenet300, lenetCaffe } from "./classics/lenet.ts";
export { dsCnn, mobilenetV2, mobilenetV2Small } from "./classics/mobilenet.ts";
export { resnet8, resnet20, resnet50 } from "./classics/resnet.ts";
export { vgg11, vgg16, vggSmall } from "./classics/vgg.ts";
export { type VitOptions, vitSmall } from "./classics/vit.ts";
export {
  type Draw,
  type Fan,
  fanInUniform,
  glorotUniform,
  heNormal,
  type Initializer,
  lecunNormal,
  ones,
  truncatedNormal,
  zeros,
} from "./initialize.ts";
export { type BuildOptions, build, type Layer, named, type Scope, type Signal, sequential } from "./layer.ts";
export { attention, flatten, positions, residual, tokenMean, tokens, transformerBlock } from "./layers/combine.ts";
export * from "./layers/elementwise.ts";
export { type Conv2dOptions, conv2d, type DenseOptions, dense, depthwiseConv2d } from "./layers/linear.ts";
export {
  averagePool,
  globalAveragePool,
  maxPool,
  type Padding,
  type Pair,
  type PoolOptions,
} from "./layers/window.ts";
