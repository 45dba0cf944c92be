import {
  attr,
  type DType,
  edit,
  failure,
  type Model,
  PareError,
  problem,
  type ResidentTensor,
  type Tensor,
  type ValueInfo,
  type Values,
  value,
  viewOf,
  type Weight,
} from "@pare/core";
import { namePattern } from "@pare/ops/weights";
import { differentiate } from "./differentiate.ts";
import { inlineGraph } from "./inline.ts";
import { checkLoss, type Loss } from "./losses.ts";
import { trainingMode } from "./modes.ts";
import type { Optimizer } from "./optimizers.ts";
import { parametersOf } from "./parameters.ts";
import { type Clip, clipped, isFiniteValue, masked, writer, zeros } from "./update.ts";

export interface ParameterGroup {
  /** Names of the parameters, `*` for anything. The first group that names one has it. */
  readonly include: readonly string[];
  readonly optimizer: Optimizer;
}

export interface StepOptions {
  readonly loss: Loss;
  readonly optimizer: Optimizer;
  /** Parameters that move otherwise: without weight decay, say. */
  readonly groups?: readonly ParameterGroup[] | undefined;
  /** A batch, or types that say all sizes: inputs of the model and targets of the loss. The step is made for just them. */
  readonly batch: Values | readonly ValueInfo[];
  /** Which weights are trained; by default those that {@link parametersOf} finds. */
  readonly include?: readonly string[] | undefined;
  /** Weights that stay as they are. */
  readonly frozen?: readonly string[] | undefined;
  /** By parameter 1 where it is trained and 0 where it stays 0, in its shape: pruned weights. */
  readonly masks?: Readonly<Record<string, ResidentTensor>> | undefined;
  /** Largest norm of all gradients together, or largest magnitude of each number. (Pascanu et al. 2013, arXiv:1211.5063.) */
  readonly clip?: Clip | undefined;
  /** Decay of a moving average of the parameters, such as 0.999, which the trained model then has. */
  readonly average?: number | undefined;
  readonly batchNormalization?: "train" | "frozen" | undefined;
  /** Of dropout. */
  readonly seed?: number | undefined;
  readonly formulations?: Readonly<Record<string, string>> | undefined;
}

/** One step of training as a model. */
export interface TrainingStep {
  /** Inputs: the batch, `rate` and `step` (1 for the first), and the state. Outputs: the loss, the norm of the gradients, the state. */
  readonly model: Model;
  /** Outputs of the step that are inputs of the next, as `Runtime.prepare` takes them. */
  readonly state: Readonly<Record<string, string>>;
  /** First values of the state's inputs. */
  readonly initial: ReadonlyMap<string, Tensor>;
  readonly loss: string;
  readonly norm: string;
  readonly rate: string;
  readonly step: string;
  /** Names of the parameters. */
  readonly parameters: readonly string[];
  /** The model that was given with the weights of a state, by the names of its inputs. */
  apply(state: ReadonlyMap<string, Tensor>): Model;
}

/**
 * Makes a step of training from a model: forward, loss, gradients and update, all ordinary operators, whose state (parameters,
 * what the optimizer keeps, running statistics) is inputs and outputs. Where loss or gradients are not finite nothing moves.
 * @throws PareError `train/options`, `train/loss`, `train/no-parameters`, and what `differentiate` throws
 */
export function trainingStep(source: Model, options: StepOptions): TrainingStep {
  const { average } = options;
  if (average !== undefined && !(average > 0 && average < 1))
    throw failure("train/options", `the decay of an average is between 0 and 1, not ${average}`);
  checkLoss(options.loss);
  const found = parametersOf(source, { include: options.include, exclude: options.frozen });
  const taken = new Set(viewOf(source).main.graph.inputs.map((v) => v.name));
  const weights = found.filter((w) => !taken.has(w.name));
  if (weights.length === 0)
    throw failure("train/no-parameters", "no weight of the model is trained", {
      hint: "Quantized models have no float weights; say which with include.",
    });

  const opened = withInputs(source, weights, options);
  const mode = trainingMode(opened.model, { ...options, step: opened.step });
  const { model: graded, gradients } = differentiate(mode.model, {
    loss: opened.loss,
    by: weights.map((w) => w.name),
    ...(options.formulations && { formulations: options.formulations }),
  });
  const trained = weights.filter((w) => gradients.has(w.name));
  if (trained.length === 0) throw failure("train/no-parameters", "the loss depends on no weight that is trained");
  const state: Record<string, string> = {};
  const initial = new Map<string, Tensor>();
  const names = { loss: "", norm: "" };
  const optimizerOf = optimizers(options);

  const model = edit(graded, (e) => {
    const w = writer(e);
    const inputs: ValueInfo[] = [];
    const outputs: ValueInfo[] = [];
    const keep = (input: string, next: string, first: Tensor) => {
      const output = e.fresh(`next_${input}`);
      const ok = w.op("Where", [finite, next, input]);
      w.to("Identity", [ok], output);
      inputs.push(value(input, first.dtype, first.shape));
      outputs.push(value(output, first.dtype, first.shape));
      state[output] = input;
      initial.set(input, first);
    };
    const raw = new Map(trained.map((p) => [p.name, masked(w, options.masks?.[p.name], gradients.get(p.name)!, p)]));
    const norm = w.op("Sqrt", [
      w.op(
        "Sum",
        [...raw.values()].map((g) => w.op("ReduceSumSquare", [g], { keepdims: attr.int(0) })),
      ),
    ]);
    const finite = w.op("And", [isFiniteValue(w, opened.loss), isFiniteValue(w, norm)]);
    const clip = clipped(w, options.clip, norm);
    for (const p of trained) {
      const { graph: g, slots } = optimizerOf(p.name);
      const given = new Map([
        ["parameter", p.name],
        ["gradient", clip(raw.get(p.name)!)],
        ["rate", opened.rate],
        ["step", opened.step],
      ]);
      const kept = slots.map((slot) => e.fresh(`${p.name}_${slot}`));
      slots.forEach((slot, i) => void given.set(slot, kept[i]!));
      const [next, ...more] = inlineGraph(e, g, given) as [string, ...string[]];
      const moved = masked(w, options.masks?.[p.name], next, p);
      keep(p.name, moved, p.tensor);
      kept.forEach((slot, i) => void keep(slot, more[i]!, zeros(p.tensor)));
      if (average === undefined) continue;
      const mean = e.fresh(averageName(p.name));
      const before = w.op("Mul", [mean, w.number(average)]);
      keep(mean, w.op("Add", [before, w.op("Mul", [moved, w.number(1 - average)])]), p.tensor);
    }
    for (const [name, next] of mode.moved) {
      const first = graded.graph.weights.get(name)!;
      keep(name, next, first);
      e.removeWeight(e.view.main, name);
    }
    names.loss = e.fresh("training_loss");
    names.norm = e.fresh("gradient_norm");
    w.to("Identity", [opened.loss], names.loss);
    w.to("Identity", [norm], names.norm);
    const scalars = [value(names.loss, "float32", []), value(names.norm, "float32", [])];
    // Parameters became inputs when gradients were made; they come with the state, and those that nothing moves are weights.
    const all = new Set(weights.map((p) => p.name));
    for (const p of weights)
      if (!trained.includes(p)) e.replaceValue(e.view.main, p.name, e.addWeight(e.view.main, p.name, p.tensor));
    e.insert(e.view.main, w.nodes);
    e.setGraph(e.view.main, {
      inputs: [...graded.graph.inputs.filter((v) => !all.has(v.name)), ...inputs],
      outputs: [...scalars, ...outputs],
      types: new Map(),
    });
  });
  const averages = new Map(trained.map((p) => [p.name, average === undefined ? p.name : averageName(p.name)]));
  return {
    model,
    state,
    initial,
    ...names,
    rate: opened.rate,
    step: opened.step,
    parameters: trained.map((p) => p.name),
    apply: (current) =>
      edit(source, (e) => {
        for (const held of e.weights()) {
          if (held.view !== e.view.main || (!averages.has(held.name) && !mode.moved.has(held.name))) continue;
          const t = current.get(averages.get(held.name) ?? held.name);
          if (t) e.setWeight(held, t);
        }
      }),
  };
}

const averageName = (name: string) => `${name}_average`;

/** The model with the loss, whose parameters are inputs, and all sizes known. */
function withInputs(source: Model, weights: readonly Weight[], options: StepOptions) {
  const batch: readonly ValueInfo[] = Array.isArray(options.batch)
    ? options.batch
    : Object.entries(options.batch as Values).map(([name, t]) => value(name, t.dtype, t.shape));
  const types = new Map(batch.map((v) => [v.name, v]));
  const outputs = new Set(source.graph.outputs.map((v) => v.name));
  const needed = [
    ...source.graph.inputs.filter((v) => !source.graph.weights.has(v.name)),
    ...options.loss.graph.inputs.filter((v) => !outputs.has(v.name) && !options.loss.graph.weights.has(v.name)),
  ];
  const missing = [...new Set(needed.map((v) => v.name))].filter((name) => !types.has(name));
  if (missing.length > 0)
    throw new PareError(
      missing.map((name) =>
        problem("train/batch", "the batch lacks this input of the model or target of the loss", {
          location: { value: name },
          hint: `It has ${batch.map((v) => v.name).join(", ") || "nothing"}; the model gives ${[...outputs].join(", ")}.`,
        }),
      ),
    );
  checkTypes(needed, types);
  let [loss, rate, step] = ["", "", ""];
  const model = edit(source, (e) => {
    const { main } = e.view;
    for (const w of weights) {
      if (w.node) e.replace(w.node, []);
      else e.removeWeight(main, w.name);
    }
    rate = e.fresh("rate");
    step = e.fresh("step");
    const given = new Map(options.loss.graph.inputs.map((v) => [v.name, v.name]));
    const defaults = options.loss.graph.inputs.filter(
      (v) => options.loss.graph.weights.has(v.name) && !types.has(v.name),
    );
    for (const { name } of defaults) given.delete(name);
    [loss] = inlineGraph(e, options.loss.graph, given) as [string];
    const names = new Set(needed.map((v) => v.name));
    e.setGraph(main, {
      inputs: [
        ...[...names].map((name) => types.get(name)!),
        value(rate, "float32", []),
        value(step, "float32", []),
        ...weights.map((w) => value(w.name, w.tensor.dtype, w.tensor.shape)),
      ],
      outputs: source.graph.outputs.map(({ name }) => ({ name })),
      types: new Map(),
    });
  });
  return { model, loss, rate, step };
}

function checkTypes(needed: readonly ValueInfo[], given: ReadonlyMap<string, ValueInfo>): void {
  const problems = needed.flatMap(({ name, type }) => {
    const got = given.get(name)!.type;
    if (type?.kind !== "tensor" || got?.kind !== "tensor") return [];
    const fits =
      type.dtype === got.dtype &&
      (!type.shape ||
        (type.shape.length === got.shape?.length &&
          type.shape.every((d, i) => typeof d !== "number" || d === got.shape![i])));
    if (fits && got.shape?.every((d) => typeof d === "number")) return [];
    const said = (t: { dtype: DType; shape?: readonly unknown[] | undefined }) =>
      `${t.dtype} [${t.shape?.join(", ") ?? "?"}]`;
    return [
      problem("train/batch", `takes ${said(type)}, but the batch has ${said(got)}`, { location: { value: name } }),
    ];
  });
  if (problems.length > 0) throw new PareError(problems);
}

function optimizers({ optimizer, groups = [] }: StepOptions): (name: string) => Optimizer {
  const tests = groups.map((g) => ({ test: namePattern(g.include), optimizer: g.optimizer }));
  return (name) => tests.find((t) => t.test(name))?.optimizer ?? optimizer;
}
