import { attr, type DType } from "@pare/core";
import type { Builder, Lower } from "../lower/builder.ts";

/** The negative log likelihood of classes in scores [N, C, d1, …], by the definition of NegativeLogLikelihoodLoss. */
function likelihoodLoss(b: Builder, scores: string): string {
  const [target, weight] = [b.input(1)!, b.input(2)];
  const dtype = b.dtype(scores);
  const ignored = b.attribute("ignore_index", "int");
  const num = (v: number, type: DType = dtype) => b.float(v, type);
  const wide = b.cast(target, "int64");
  const counts = ignored === undefined ? undefined : b.add("Not", [b.add("Equal", [wide, b.int(Number(ignored))])]);
  const classes = counts ? b.add("Where", [counts, wide, b.int(0)]) : wide;
  const column = b.add("Unsqueeze", [classes, b.ints([1])]);
  const chosen = b.add("Squeeze", [b.add("GatherElements", [scores, column], { axis: attr.int(1) }), b.ints([1])]);
  const mask = counts && b.cast(counts, dtype);
  const given = weight === undefined ? undefined : b.add("Gather", [weight, classes]);
  const factor = given && mask ? b.add("Mul", [given, mask]) : (given ?? mask);
  const losses = b.add("Neg", [factor ? b.add("Mul", [chosen, factor]) : chosen]);
  const whole = (op: string, v: string) => b.add(op, [v], { keepdims: attr.int(0) });
  switch (b.textOf("reduction", "mean")) {
    case "none":
      return losses;
    case "sum":
      return whole("ReduceSum", losses);
    default:
      if (!factor) return whole("ReduceMean", losses);
      return b.add("Div", [whole("ReduceSum", losses), b.add("Max", [whole("ReduceSum", factor), num(1e-30)])]);
  }
}

/** Losses as arithmetic, for their gradients and for engines that lack them. */
export const lossForms: Readonly<Record<string, Lower>> = {
  NegativeLogLikelihoodLoss: (b) => b.give("Identity", [likelihoodLoss(b, b.input(0)!)]),
  SoftmaxCrossEntropyLoss(b) {
    const log = b.add(
      "LogSoftmax",
      [b.input(0)],
      { axis: attr.int(1) },
      b.node.outputs[1] ? [b.node.outputs[1]] : undefined,
    );
    b.give("Identity", [likelihoodLoss(b, log)]);
  },
};
