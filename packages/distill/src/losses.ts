/** What a student is trained to. Values of the teacher are inputs of these losses, named by {@link teacherValue}. */
import { attr, failure } from "@pare/core";
import { buildGraph, type GraphBuilder } from "@pare/ops/build";
import { crossEntropy, divergence, type Loss, weightedSum } from "@pare/train";

const PREFIX = "teacher/";

/** The name under which a loss finds a value of the teacher. */
export const teacherValue = (name: string): string => `${PREFIX}${name}`;

/** The values of the teacher that a loss reads, as the teacher names them. */
export const teacherValuesOf = (loss: Loss): string[] =>
  loss.graph.inputs.filter((v) => v.name.startsWith(PREFIX)).map((v) => v.name.slice(PREFIX.length));

export interface DistillationLossOptions {
  /** Logits of the student. Default `logits`. */
  readonly output?: string;
  /** Logits of the teacher. Default: as `output`. */
  readonly teacher?: string;
  /** Name of the labels among the samples (int64 [N, …]), below 0 where there is none. Not needed where `alpha` is 1. */
  readonly label?: string | undefined;
  /** How much the teacher counts, from 0 to 1. Default 0.7 with labels, 1 without. */
  readonly alpha?: number | undefined;
  /** Logits of both are divided by it. Default 4. */
  readonly temperature?: number;
}

/**
 * `(1 - a) * CE(y, label) + a * T² * KL(p, q)`, where p and q are the softmax of the teacher's and the student's logits over T:
 * cross-entropy over the samples that have labels, divergence over all. (Hinton et al. 2015, arXiv:1503.02531.)
 * @throws PareError `distill/options`
 */
export function distillationLoss(options: DistillationLossOptions = {}): Loss {
  const { output = "logits", teacher = output, label, temperature = 4 } = options;
  const { alpha = label === undefined ? 1 : 0.7 } = options;
  if (!(alpha >= 0 && alpha <= 1)) throw failure("distill/options", `alpha is from 0 to 1, not ${alpha}`);
  if (!(temperature > 0)) throw failure("distill/options", `the temperature is above 0, not ${temperature}`);
  if (alpha < 1 && label === undefined)
    throw failure("distill/options", `with alpha ${alpha} labels count, and none are named`, {
      hint: "Name them with label, or leave alpha out: the student then learns from the teacher alone.",
    });
  const parts: [number, Loss][] = [];
  if (alpha < 1) parts.push([1 - alpha, crossEntropy({ output, target: label!, partial: true })]);
  if (alpha > 0) parts.push([alpha, divergence({ output, target: teacherValue(teacher), temperature })]);
  return weightedSum(parts);
}

export interface Pair {
  /** A value of the student. */
  readonly student: string;
  /** The value of the teacher that it is compared with. Default: of the same name. */
  readonly teacher?: string;
}

/**
 * Mean squared difference of the attention maps of two values [N, C, …]: at each place the mean of the squares over channels,
 * scaled to length 1 for each sample. They may have different numbers of channels. (Zagoruyko & Komodakis 2017, arXiv:1612.03928,
 * activation-based with p = 2.)
 */
export function attentionTransfer({ student, teacher = student }: Pair): Loss {
  const b = buildGraph();
  const [q, p] = [student, teacherValue(teacher)].map((v) => attentionMap(b, b.input("float32", undefined, v)));
  const d = b.op("Sub", [q!, p!]);
  b.output(b.op("ReduceMean", [b.op("Mul", [d, d])], { keepdims: attr.int(0) }), "float32", []);
  return b.model();
}

/** Mean squared error relative to the mean square of the target, so that errors of values of any scale count alike. */
export function relativeError({ output, target }: { readonly output: string; readonly target: string }): Loss {
  const b = buildGraph();
  const [y, t] = [b.input("float32", undefined, output), b.input("float32", undefined, target)];
  const energy = (v: string) => b.op("ReduceMean", [b.op("Mul", [v, v])], { keepdims: attr.int(0) });
  const size = b.op("Max", [energy(t), b.number(1e-12)]);
  b.output(b.op("Div", [energy(b.op("Sub", [y, t])), size]), "float32", []);
  return b.model();
}

function attentionMap(b: GraphBuilder, v: string): string {
  const energy = b.op("ReduceMean", [b.op("Mul", [v, v]), b.ints(1)], { keepdims: attr.int(0) });
  const flat = b.op("Flatten", [energy], { axis: attr.int(1) });
  const squares = b.op("ReduceSum", [b.op("Mul", [flat, flat]), b.ints(1)], { keepdims: attr.int(1) });
  return b.op("Div", [flat, b.op("Max", [b.op("Sqrt", [squares]), b.number(1e-12)])]);
}
