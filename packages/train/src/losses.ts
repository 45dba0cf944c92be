/** Losses are models: from outputs of the network and targets to one number. */
import { attr, failure, type Model, tensor } from "@pare/core";
import { buildGraph, type GraphBuilder } from "@pare/ops/build";
import { codeOf } from "@pare/ops/dtype-codes";
import { differentValues } from "./names.ts";

/**
 * A model with one output, a scalar in float32. Inputs that are named as outputs of the network take those; all others are
 * targets that come with the samples. Any model of that kind is a loss.
 */
export type Loss = Model;

interface Between {
  /** The network's output. */
  readonly output: string;
  /** Name of the target among the samples. */
  readonly target: string;
}

export interface CrossEntropyOptions extends Between {
  /** How much of the target goes to all classes in equal parts, from 0 to 1. (Szegedy et al. 2016, arXiv:1512.00567.) */
  readonly labelSmoothing?: number;
  /** How much each class counts. */
  readonly classWeights?: readonly number[];
  /** Whether a class below 0 says that a sample has no label: the mean is then over the others, and 0 where there is none. */
  readonly partial?: boolean;
}

const built = (make: (b: GraphBuilder) => string): Model => {
  const b = buildGraph();
  b.output(make(b), "float32", []);
  return b.model();
};

const mean = (b: GraphBuilder, v: string) => b.op("ReduceMean", [v], { keepdims: attr.int(0) });
const total = (b: GraphBuilder, v: string, ...axes: readonly number[]) =>
  b.op("ReduceSum", axes.length > 0 ? [v, b.ints(...axes)] : [v], { keepdims: attr.int(0) });

/**
 * Cross-entropy of logits [N, C, …] and classes (int64 [N, …]), mean over all; with class weights the weighted mean. With `partial`
 * not all samples need a class.
 * @throws PareError `train/options`
 */
export function crossEntropy(options: CrossEntropyOptions): Loss {
  const { output, target, labelSmoothing: e = 0, classWeights, partial = false } = options;
  if (!(e >= 0 && e < 1)) throw failure("train/options", `label smoothing is from 0 to less than 1, not ${e}`);
  return built((b) => {
    const [logits, given] = [b.input("float32", undefined, output), b.input("int64", undefined, target)];
    const labels = partial ? b.op("Max", [given, b.number(0, "int64")]) : given;
    const log = b.op("LogSoftmax", [logits], { axis: attr.int(1) });
    const column = b.op("Unsqueeze", [labels, b.ints(1)]);
    const chosen = b.op("Squeeze", [b.op("GatherElements", [log, column], { axis: attr.int(1) }), b.ints(1)]);
    const weights = classWeights && b.weight(tensor("float32", [classWeights.length], classWeights), "class_weights");
    const weight = weights && b.op("Gather", [weights, labels]);
    const weighed = weight ? b.op("Mul", [chosen, weight]) : chosen;
    const smooth = () => {
      const moved = weights ? b.op("Mul", [log, byChannel(b, weights, log)]) : log;
      return b.op("ReduceMean", [moved, b.ints(1)], { keepdims: attr.int(0) });
    };
    const all =
      e === 0 ? weighed : b.op("Add", [b.op("Mul", [weighed, b.number(1 - e)]), b.op("Mul", [smooth(), b.number(e)])]);
    if (!partial) return b.op("Neg", [weight ? b.op("Div", [total(b, all), total(b, weight)]) : mean(b, all)]);
    const has = b.op("Cast", [b.op("GreaterOrEqual", [given, b.number(0, "int64")])], {
      to: attr.int(codeOf("float32")),
    });
    const count = total(b, weight ? b.op("Mul", [weight, has]) : has);
    const divisor = b.op("Where", [b.op("Greater", [count, b.number(0)]), count, b.number(1)]);
    return b.op("Neg", [b.op("Div", [total(b, b.op("Mul", [all, has])), divisor])]);
  });
}

/** [C] so that it broadcasts over [N, C, …], whatever follows. */
function byChannel(b: GraphBuilder, weights: string, like: string): string {
  const rest = b.op("Slice", [b.op("Shape", [like]), b.ints(2), b.ints(Number.MAX_SAFE_INTEGER)]);
  const ones = b.op("Expand", [b.ints(1), b.op("Shape", [rest])]);
  return b.op("Reshape", [weights, b.op("Concat", [b.ints(-1), ones], { axis: attr.int(0) })]);
}

export interface DivergenceOptions extends Between {
  /** Both are divided by it before the softmax; the result is multiplied by its square. Default 1. */
  readonly temperature?: number;
}

/**
 * Kullback-Leibler divergence of softmax(output / T) from softmax(target / T), times T², of logits [N, C, …]: mean over
 * samples and places. (Hinton et al. 2015, arXiv:1503.02531.)
 * @throws PareError `train/options`
 */
export function divergence({ output, target, temperature: t = 1 }: DivergenceOptions): Loss {
  if (!(t > 0)) throw failure("train/options", `the temperature is above 0, not ${t}`);
  return built((b) => {
    const [student, teacher] = [output, target].map((name) => {
      const logits = b.input("float32", undefined, name);
      const cooled = t === 1 ? logits : b.op("Div", [logits, b.number(t)]);
      return b.op("LogSoftmax", [cooled], { axis: attr.int(1) });
    }) as [string, string];
    const each = b.op("Mul", [b.op("Exp", [teacher]), b.op("Sub", [teacher, student])]);
    const sum = mean(b, total(b, each, 1));
    return t === 1 ? sum : b.op("Mul", [sum, b.number(t * t)]);
  });
}

/** Mean of the squared differences of all elements. */
export const meanSquaredError = ({ output, target }: Between): Loss =>
  built((b) => {
    const d = b.op("Sub", [b.input("float32", undefined, output), b.input("float32", undefined, target)]);
    return mean(b, b.op("Mul", [d, d]));
  });

/** Mean of the absolute differences of all elements. */
export const meanAbsoluteError = ({ output, target }: Between): Loss =>
  built((b) =>
    mean(b, b.op("Abs", [b.op("Sub", [b.input("float32", undefined, output), b.input("float32", undefined, target)])])),
  );

/** 1 - cosine of the angle between vectors along the last axis, mean over all. */
export const cosineDistance = ({ output, target }: Between): Loss =>
  built((b) => {
    const [x, y] = [b.input("float32", undefined, output), b.input("float32", undefined, target)];
    const dot = (p: string, q: string) =>
      b.op("ReduceSum", [b.op("Mul", [p, q]), b.ints(-1)], { keepdims: attr.int(0) });
    const lengths = b.op("Sqrt", [b.op("Mul", [dot(x, x), dot(y, y)])]);
    const cosine = b.op("Div", [dot(x, y), b.op("Max", [lengths, b.number(1e-8)])]);
    return b.op("Sub", [b.number(1), mean(b, cosine)]);
  });

/**
 * The sum of losses, each times its weight. Inputs of the same name are the same value.
 * @example weightedSum([[0.3, crossEntropy({ output: "logits", target: "label" })], [0.7, divergence({ … })]])
 */
export function weightedSum(parts: readonly (readonly [weight: number, loss: Loss])[]): Loss {
  if (parts.length === 0) throw failure("train/options", "a sum of losses needs at least one");
  return built((b) => {
    const inputs = new Map<string, string>();
    const sums = parts.map(([weight, loss], i) => {
      checkLoss(loss);
      const renamed = differentValues(loss.graph, `part${i}_`);
      for (const { name, type } of renamed.inputs)
        if (!inputs.has(name))
          inputs.set(name, b.input(type?.kind === "tensor" ? type.dtype : "float32", undefined, name));
      for (const [name, t] of renamed.weights) b.weight(t, name);
      b.add(renamed.nodes);
      const value = renamed.outputs[0]!.name;
      return weight === 1 ? value : b.op("Mul", [value, b.number(weight)]);
    });
    return sums.length === 1 ? b.op("Identity", sums) : b.op("Sum", sums);
  });
}

/** @throws PareError `train/loss` where a model is no loss */
export function checkLoss(loss: Model): void {
  const [output, ...more] = loss.graph.outputs;
  const type = output?.type;
  const bad =
    !output || more.length > 0 || (type?.kind === "tensor" && type.shape !== undefined && type.shape.length > 0);
  if (bad || loss.functions.length > 0)
    throw failure("train/loss", "a loss has one output, a scalar, and no functions", {
      hint: "Reduce it with ReduceMean<keepdims=0>.",
    });
}
