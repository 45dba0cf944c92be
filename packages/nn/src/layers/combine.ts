import { attr, tensor } from "@pare/core";
import { truncatedNormal } from "../initialize.ts";
import { ints, type Layer, named, sequential } from "../layer.ts";
import { gelu, layerNorm } from "./elementwise.ts";
import { dense } from "./linear.ts";

/** All dimensions as one: `[features]`. */
export const flatten = (): Layer =>
  named("flatten", (scope, x) => ({
    name: scope.op("Flatten", [x.name], { axis: attr.int(1) }),
    shape: [x.shape.reduce((n, d) => n * d, 1)],
  }));

/** What `body` makes of the input plus the input, or what `shortcut` makes of it. He et al. (2015). */
export const residual = (body: Layer, shortcut?: Layer): Layer =>
  named("residual", (scope, x) => {
    const made = body(scope, x);
    const kept = shortcut ? scope.within("shortcut", shortcut, x) : x;
    if (`${made.shape}` !== `${kept.shape}`)
      scope.refuse(`adds [${made.shape}] and [${kept.shape}]: give it a shortcut that makes them alike`);
    return { name: scope.op("Add", [made.name, kept.name]), shape: made.shape };
  });

/** `[channels, height, width]` as one token for each place: `[height * width, channels]`. */
export const tokens = (): Layer =>
  named("tokens", (scope, x) => {
    if (x.shape.length !== 3) scope.refuse(`takes [channels, height, width], and is given [${x.shape}]`);
    const [channels, height, width] = x.shape as [number, number, number];
    const flat = scope.op("Reshape", [x.name, scope.ints("shape", [0, channels, height * width])]);
    const name = scope.op("Transpose", [flat], { perm: ints([0, 2, 1]) });
    return { name, shape: [height * width, channels] };
  });

/** Adds a learned vector to each token. */
export const positions = (): Layer =>
  named("positions", (scope, x) => {
    const learned = scope.weight("embedding", [1, ...x.shape], truncatedNormal());
    return { name: scope.op("Add", [x.name, learned]), shape: x.shape };
  });

/** The mean of all tokens: `[tokens, features]` to `[features]`. */
export const tokenMean = (): Layer =>
  named("token_mean", (scope, x) => ({
    name: scope.op("ReduceMean", [x.name, scope.ints("axes", [1])], { keepdims: attr.int(0) }),
    shape: x.shape.slice(1),
  }));

/** Self-attention with `heads` heads over `[tokens, features]`. Vaswani et al. (2017). */
export const attention = (heads: number): Layer =>
  named("attention", (scope, x) => {
    const [count, features] = x.shape as [number, number];
    if (x.shape.length !== 2 || features % heads !== 0)
      scope.refuse(`takes [tokens, features] with features for ${heads} heads, and is given [${x.shape}]`);
    const size = features / heads;
    const projected = dense(3 * features, { init: truncatedNormal() })(scope, x);
    const apart = scope.op("Reshape", [projected.name, scope.ints("heads", [0, count, 3, heads, size])]);
    const turned = scope.op("Transpose", [apart], { perm: ints([2, 0, 3, 1, 4]) });
    const parts = scope.ops("Split", [turned], 3, { axis: attr.int(0), num_outputs: attr.int(3) });
    const axes = scope.ints("axes", [0]);
    const [q, k, v] = parts.map((part) => scope.op("Squeeze", [part, axes])) as [string, string, string];
    const scale = scope.constant("scale", tensor("float32", [], [1 / Math.sqrt(size)]));
    const scores = scope.op("MatMul", [
      scope.op("Mul", [q, scale]),
      scope.op("Transpose", [k], { perm: ints([0, 1, 3, 2]) }),
    ]);
    const weighted = scope.op("MatMul", [scope.op("Softmax", [scores], { axis: attr.int(-1) }), v]);
    const joined = scope.op("Transpose", [weighted], { perm: ints([0, 2, 1, 3]) });
    const flat = scope.op("Reshape", [joined, scope.ints("features", [0, count, features])]);
    return dense(features, { init: truncatedNormal() })(scope, { name: flat, shape: x.shape });
  });

/** Attention, then two dense layers with a GELU between them, each with its residual and normalized before. */
export const transformerBlock = ({ heads, hidden }: { readonly heads: number; readonly hidden: number }): Layer =>
  named("block", (scope, x) => {
    const init = truncatedNormal();
    const features = x.shape.at(-1)!;
    const mixing = residual(sequential(layerNorm(), attention(heads)));
    const thinking = residual(sequential(layerNorm(), dense(hidden, { init }), gelu(), dense(features, { init })));
    return thinking(scope, mixing(scope, x));
  });
