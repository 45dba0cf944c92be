import { samplesFrom, type Values } from "@pare/core";
import { parse } from "@pare/core/parse";
import { build, dense, layerNorm, relu, residual, sequential } from "@pare/nn";
import { ort } from "@pare/runtime-ort";
import { passLaws, syntheticTensor, trainedLike } from "@pare/testing";
import { describe, test } from "vitest";
import { distill, distillFrom } from "./index.ts";

const FEATURES = 8;
const input = { input: [FEATURES], inputName: "x" };
/** Networks of the kinds that there are to be smaller: plain, residual, with a function and a branch, with weights in a file. */
const models = () => ({
  plain: build(sequential(dense(12), relu(), dense(12), relu(), dense(4)), { ...input, seed: 1 }),
  residual: build(sequential(dense(12), residual(sequential(layerNorm(), dense(24), relu(), dense(12))), dense(4)), {
    ...input,
    seed: 2,
  }),
  extended: parse(
    `<"": 27, "acme": 1> main (x: float32[N,8]) => (y: float32[N,4]) {
      a: float32[8,12] = …  b: float32[12,4] = …  when: bool[] = {1}
      s = acme.Swish(x)
      k = If<then_branch=then () => (t) { t = Relu(s) }, else_branch=else () => (e) { e = Neg(s) }>(when)
      h = MatMul(k, a)  r = Relu(h)  y = MatMul(r, b)
    }
    function acme.Swish <"": 27> swish (i) => (o) { g = Sigmoid(i)  o = Mul(i, g) }`,
    { weights: { a: trainedLike([8, 12], 1), b: trainedLike([12, 4], 2) } },
  ),
  lazy: parse(
    `main (x: float32[N,8]) => (y: float32[N,4]) {
      a: float32[8,64] = …  b: float32[64,4] = …  h = MatMul(x, a)  r = Relu(h)  y = MatMul(r, b)
    }`,
    { weights: { a: syntheticTensor({ shape: [8, 64] }).tensor, b: syntheticTensor({ shape: [64, 4] }).tensor } },
  ),
});
const samples = samplesFrom(Array.from({ length: 6 }, (_, i) => ({ x: trainedLike([1, FEATURES], i) })));
const host = { runtime: ort({ isolate: false }), samples };
const skip = { "reads large weights in pieces": "what is trained is held in memory by the engine" };
const training = { epochs: 1, batchSize: 3, rate: 0.01 };
/** A teacher that is a function, of the same answers for all. */
async function teacher({ x }: Values): Promise<Values> {
  const answer = trainedLike([x!.shape[0]!, 4], 9);
  return { y: answer, logits: answer };
}

describe("distill", () => {
  for (const law of passLaws(distill, { options: { ...training, width: 0.5 }, models, host, skip }))
    test.skipIf(law.skipped !== undefined)(law.name, law.run);
});

describe("distillFrom", () => {
  for (const law of passLaws(distillFrom(teacher), { options: training, models, host, skip }))
    test.skipIf(law.skipped !== undefined)(law.name, law.run);
});
