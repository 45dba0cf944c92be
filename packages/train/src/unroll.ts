import { attr, edit, graph, type Model, model, tensor, type ValueInfo, value } from "@pare/core";
import { inlineGraph } from "./inline.ts";
import type { TrainingStep } from "./step.ts";
import { isFiniteValue, writer } from "./update.ts";

/** Steps that follow each other in one run. */
export interface Unrolled {
  readonly model: Model;
  /** Name of the input of each step, by the batch's names. */
  readonly batches: readonly ReadonlyMap<string, string>[];
  /** Learning rates [steps]; the number of the first step, 1 for the first of all; how many steps are made, the others move nothing. */
  readonly rates: string;
  readonly first: string;
  readonly active: string;
  /** Losses and norms of the gradients of all steps, each [steps]. */
  readonly losses: string;
  readonly norms: string;
  /** Outputs that are inputs of the next run. */
  readonly state: Readonly<Record<string, string>>;
}

/**
 * So many steps as one model, to the bit what they are one by one: small networks take less time for a step than engines take
 * to be called. After a loss or gradient that is no finite number nothing moves.
 */
export function unrolled(step: TrainingStep, count: number): Unrolled {
  const { graph: g, opsets, functions } = step.model;
  const kept = new Set(Object.values(step.state));
  const batch = g.inputs.filter((v) => !kept.has(v.name) && v.name !== step.rate && v.name !== step.step);
  // Constants are inputs of each step, so that they stand in the model once.
  const each = { ...g, inputs: [...g.inputs, ...[...g.weights.keys()].map((name) => ({ name }))] };
  const batches: Map<string, string>[] = [];
  const state: Record<string, string> = {};
  const names = { rates: "", first: "", active: "", losses: "", norms: "" };

  const made = edit(model(graph({ nodes: [], outputs: [] }), { opsets, functions }), (e) => {
    const { main } = e.view;
    const w = writer(e);
    const now = new Map([...kept].map((name) => [name, e.fresh(name)]));
    const start = new Map(now);
    for (const key of Object.keys(names) as (keyof typeof names)[]) names[key] = e.fresh(key);
    const shared = [...g.weights].map(([name, t]) => [name, e.addWeight(main, e.fresh(name), t)] as const);
    const int = (v: number) => w.constant(tensor("int64", [], [v]));
    const losses: string[] = [];
    const norms: string[] = [];
    let good: string | undefined;
    for (let i = 0; i < count; i++) {
      const own = new Map(batch.map((v) => [v.name, e.fresh(`${v.name}_${i}`)]));
      batches.push(own);
      const given = new Map([...shared, ...now, ...own]);
      given.set(step.rate, w.op("Gather", [names.rates, int(i)]));
      given.set(step.step, i === 0 ? names.first : w.op("Add", [names.first, w.number(i)]));
      const results = inlineGraph(e, each, given);
      const resultOf = new Map(g.outputs.map((v, k) => [v.name, results[k]!]));
      const [loss, norm] = [resultOf.get(step.loss)!, resultOf.get(step.norm)!];
      losses.push(loss);
      norms.push(norm);
      const wanted = w.op("Less", [int(i), names.active]);
      const moves = good === undefined ? wanted : w.op("And", [wanted, good]);
      for (const [output, input] of Object.entries(step.state))
        now.set(input, w.op("Where", [moves, resultOf.get(output)!, now.get(input)!]));
      good = w.op("And", [w.op("And", [moves, isFiniteValue(w, loss)]), isFiniteValue(w, norm)]);
    }
    const list = (values: readonly string[], to: string) => {
      const axes = w.constant(tensor("int64", [1], [0]));
      const rows = values.map((v) => w.op("Unsqueeze", [v, axes]));
      w.to("Concat", rows, to, { axis: attr.int(0) });
    };
    list(losses, names.losses);
    list(norms, names.norms);
    const outputs = Object.entries(step.state).map(([output, input]): ValueInfo => {
      const name = e.fresh(output);
      w.to("Identity", [now.get(input)!], name);
      state[name] = start.get(input)!;
      return { ...g.outputs.find((v) => v.name === output)!, name };
    });
    e.insert(main, w.nodes);
    e.setGraph(main, {
      inputs: [
        value(names.rates, "float32", [count]),
        value(names.first, "float32", []),
        value(names.active, "int64", []),
        ...batches.flatMap((own) => batch.map((v) => ({ ...v, name: own.get(v.name)! }))),
        ...g.inputs.filter((v) => kept.has(v.name)).map((v) => ({ ...v, name: start.get(v.name)! })),
      ],
      outputs: [value(names.losses, "float32", [count]), value(names.norms, "float32", [count]), ...outputs],
    });
  });
  return { model: made, batches, ...names, state };
}
