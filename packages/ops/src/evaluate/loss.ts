import { attribute, elementCount, failure } from "@pare/core";
import { type Nd, numbersOf } from "./array.ts";
import { type Call, type EvaluateRule, type EvaluateRules, input, text } from "./rule.ts";

/** The negative log likelihood of the class in `target`, of scores [N, C, d1, …]. */
function likelihoodLoss(call: Call, scores: Nd): Nd {
  const [batch, classes, ...rest] = scores.shape as [number, number, ...number[]];
  const area = elementCount(rest);
  const target = numbersOf(input(call, 1));
  const weight = call.inputs[2] && numbersOf(call.inputs[2]);
  const ignored = attribute(call.node, "ignore_index", "int");
  const losses = new Float64Array(batch * area);
  let total = 0;
  for (let i = 0; i < losses.length; i++) {
    const c = target[i]!;
    if (ignored !== undefined && c === Number(ignored)) continue;
    if (!(c >= 0 && c < classes)) throw failure("ops/axis", `${call.node.op}: class ${c} is not one of ${classes}`);
    const w = weight?.[c] ?? 1;
    total += w;
    losses[i] = -w * Number(scores.data[(Math.floor(i / area) * classes + c) * area + (i % area)]);
  }
  const sum = losses.reduce((s, v) => s + v, 0);
  switch (text(call, "reduction", "mean")) {
    case "none":
      return { dtype: scores.dtype, shape: [batch, ...rest], data: losses };
    case "sum":
      return { dtype: scores.dtype, shape: [], data: Float64Array.of(sum) };
    default:
      return { dtype: scores.dtype, shape: [], data: Float64Array.of(sum / total) };
  }
}

const crossEntropy: EvaluateRule = (call) => {
  const x = input(call, 0);
  const [batch, classes, ...rest] = x.shape as [number, number, ...number[]];
  const area = elementCount(rest);
  const data = new Float64Array(x.data.length);
  for (let i = 0; i < batch * area; i++) {
    const at = (c: number) => (Math.floor(i / area) * classes + c) * area + (i % area);
    const scores = Array.from({ length: classes }, (_, c) => Number(x.data[at(c)]));
    const top = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const log = top + Math.log(scores.reduce((s, v) => s + Math.exp(v - top), 0));
    scores.forEach((v, c) => {
      data[at(c)] = v - log;
    });
  }
  const probabilities: Nd = { ...x, data };
  return [likelihoodLoss(call, probabilities), probabilities];
};

export const losses: EvaluateRules = {
  NegativeLogLikelihoodLoss: (call) => [likelihoodLoss(call, input(call, 0))],
  SoftmaxCrossEntropyLoss: crossEntropy,
};
