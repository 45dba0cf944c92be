import { attr, tensor } from "@pare/core";
import { ones, zeros } from "../initialize.ts";
import { type Layer, named } from "../layer.ts";

const unary = (op: string): Layer =>
  named(op.toLowerCase(), (scope, x) => ({ name: scope.op(op, [x.name]), shape: x.shape }));

export const relu = (): Layer => unary("Relu");
export const sigmoid = (): Layer => unary("Sigmoid");
export const tanh = (): Layer => unary("Tanh");
export const hardSwish = (): Layer => unary("HardSwish");
/** `x * Phi(x)`. Hendrycks and Gimpel (2016). */
export const gelu = (): Layer => unary("Gelu");

/** `min(max(x, 0), 6)`, of MobileNets. */
export const relu6 = (): Layer =>
  named("relu6", (scope, x) => {
    const bound = (name: string, v: number) => scope.constant(name, tensor("float32", [], [v]));
    return { name: scope.op("Clip", [x.name, bound("min", 0), bound("max", 6)]), shape: x.shape };
  });

/** Probabilities over the last dimension. */
export const softmax = (): Layer =>
  named("softmax", (scope, x) => ({ name: scope.op("Softmax", [x.name], { axis: attr.int(-1) }), shape: x.shape }));

/** Sets elements to zero with probability `rate` in training. Srivastava et al. (2014). Nothing happens in evaluation. */
export const dropout = (rate: number): Layer =>
  named("dropout", (scope, x) => {
    if (!(rate >= 0 && rate < 1)) scope.refuse(`has a rate of ${rate}, which is not in [0, 1)`);
    const ratio = scope.constant("ratio", tensor("float32", [], [rate]));
    return { name: scope.op("Dropout", [x.name, ratio]), shape: x.shape };
  });

/** Normalizes channels by their statistics over batches. Ioffe and Szegedy (2015). `momentum` is the part that running statistics keep. */
export const batchNorm = ({ epsilon = 1e-5, momentum = 0.9 } = {}): Layer =>
  named("batch_norm", (scope, x) => {
    const channels = [x.shape[0]!];
    const parts = [
      scope.weight("scale", channels, ones),
      scope.weight("bias", channels, zeros),
      scope.weight("mean", channels, zeros),
      scope.weight("variance", channels, ones),
    ];
    const attributes = { epsilon: attr.float(epsilon), momentum: attr.float(momentum) };
    return { name: scope.op("BatchNormalization", [x.name, ...parts], attributes), shape: x.shape };
  });

/** Normalizes the last dimension of each element of a batch. Ba et al. (2016). */
export const layerNorm = ({ epsilon = 1e-5 } = {}): Layer =>
  named("layer_norm", (scope, x) => {
    const features = [x.shape.at(-1)!];
    const parts = [scope.weight("scale", features, ones), scope.weight("bias", features, zeros)];
    const attributes = { axis: attr.int(-1), epsilon: attr.float(epsilon) };
    return { name: scope.op("LayerNormalization", [x.name, ...parts], attributes), shape: x.shape };
  });
