/** Gradients against differences: a check for rules of gradients and for losses of one's own. */
import {
  type Attribute,
  attr,
  constantNodeValue,
  edit,
  failure,
  type Graph,
  isFloat,
  type Model,
  type Node,
  node,
  type ResidentTensor,
  resident,
  type Tensor,
  tensor,
  type ValueInfo,
  type Values,
  viewOf,
} from "@pare/core";
import { codeOf, dtypeOf } from "@pare/ops/dtype-codes";
import { evaluate } from "@pare/ops/evaluate";
import { numbersOf, tensorOf } from "@pare/ops/numeric";
import { differentiate } from "./differentiate.ts";

export interface GradientCheckOptions {
  /** The scalar to differentiate; without it a weighted sum of all outputs of a floating-point type. */
  readonly loss?: string;
  /** Inputs and weights to differentiate by; by default all inputs of a floating-point type. */
  readonly by?: readonly string[];
  /** Distance of the two points of a difference. Default 1e-5. */
  readonly step?: number;
  /** Elements of each value that are compared, spread over it. Default 64. */
  readonly elements?: number;
  readonly formulations?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface GradientCheck {
  /** Largest error of each value's gradient, relative to the larger of both numbers and to 1/1000 of the largest of all. */
  readonly errors: ReadonlyMap<string, number>;
  /** Largest of all. 0 where nothing was compared. */
  readonly worst: number;
  /** The model that computes loss and gradients, in float64. */
  readonly model: Model;
  readonly loss: string;
  readonly gradients: ReadonlyMap<string, string>;
  /** What the elements of each output count in the loss, where that is a weighted sum of them. */
  readonly factors: Values;
}

/**
 * Compares gradients with central differences, both in the float64 evaluator. The model is computed in float64 throughout.
 * At kinks (0 of Relu, equal values of a maximum) differences are no gradients: stay away from them.
 * @throws PareError as `differentiate` and `evaluate` do
 */
export async function checkGradients(
  source: Model,
  inputs: Values,
  options: GradientCheckOptions = {},
): Promise<GradientCheck> {
  const { step = 1e-5, elements = 64, signal } = options;
  const values = await valuesIn("float64", inputs, signal);
  const model = withShapes(await modelIn("float64", source, signal), values);
  const main = viewOf(model).main;
  const by = options.by ?? model.graph.inputs.map((v) => v.name).filter((name) => isReal(values[name]));
  const {
    model: whole,
    loss,
    factors,
  } = options.loss ? { model, loss: options.loss, factors: {} } : await withWeightedSum(model, values, signal);
  const { model: graded, gradients } = differentiate(whole, { ...options, loss, by });
  const stop = signal ? { signal } : {};
  const given = (await evaluate(graded, values, { outputs: [...gradients.values()], ...stop })) as Values;
  const errors = new Map<string, number>();
  for (const name of by) {
    const at = values[name] ?? main.constant(name) ?? whole.graph.weights.get(name);
    if (!at) throw failure("train/value", "only inputs and weights can be moved", { location: { value: name } });
    const start = numbersOf(await resident(at, signal));
    const gradient = gradients.get(name);
    const analytic = gradient ? numbersOf(given[gradient]!) : new Float64Array(start.length);
    const chosen = spreadOver(start.length, elements);
    const numeric: number[] = [];
    for (const i of chosen) {
      const lossAt = async (by: number) => {
        const moved = Float64Array.from(start);
        moved[i]! += by;
        const t = tensor("float64", at.shape, moved);
        const results = values[name]
          ? await evaluate(whole, { ...values, [name]: t }, { outputs: [loss], ...stop })
          : await evaluate(withWeight(whole, name, t), values, { outputs: [loss], ...stop });
        return Number(numbersOf(results[loss]!)[0]);
      };
      numeric.push(((await lossAt(step)) - (await lossAt(-step))) / (2 * step));
    }
    const floor = 1e-3 * numeric.reduce((m, v) => Math.max(m, Math.abs(v)), 1e-6);
    errors.set(
      name,
      chosen.reduce((worst, i, k) => {
        const [a, n] = [analytic[i]!, numeric[k]!];
        const error = Math.abs(a - n) / Math.max(Math.abs(a), Math.abs(n), floor);
        return Math.max(worst, Number.isNaN(error) ? Number.POSITIVE_INFINITY : error);
      }, 0),
    );
  }
  return { errors, worst: Math.max(0, ...errors.values()), model: graded, loss, gradients, factors };
}

const isReal = (t: Tensor | undefined): boolean => t !== undefined && isFloat(t.dtype);

/** Inputs of which the model does not say how many dimensions they have are like the values. */
const withShapes = (m: Model, values: Values): Model => ({
  ...m,
  graph: {
    ...m.graph,
    inputs: m.graph.inputs.map((v) =>
      v.type?.kind === "tensor" && v.type.shape === undefined && values[v.name]
        ? { ...v, type: { ...v.type, shape: values[v.name]!.shape } }
        : v,
    ),
  },
});

/** At most `count` places, first and last among them. */
const spreadOver = (length: number, count: number): number[] =>
  length <= count
    ? Array.from({ length }, (_, i) => i)
    : Array.from({ length: count }, (_, i) => Math.floor((i * (length - 1)) / (count - 1)));

const withWeight = (m: Model, name: string, t: Tensor): Model => ({
  ...m,
  graph: { ...m.graph, weights: new Map(m.graph.weights).set(name, t) },
});

/** Adds a sum of all real outputs with weights that differ, so that no gradient cancels. */
async function withWeightedSum(model: Model, values: Values, signal?: AbortSignal) {
  const names = model.graph.outputs.map((v) => v.name);
  const results = await evaluate(model, values, { outputs: names, ...(signal ? { signal } : {}) });
  const real = names.filter((name) => isReal(results[name]) && results[name]!.byteLength > 0);
  if (real.length === 0) throw failure("train/value", "no output is of a floating-point type");
  let loss = "";
  const factors: Record<string, ResidentTensor> = {};
  const whole = edit(model, (e) => {
    const nodes: Node[] = [];
    const sums = real.map((name, k) => {
      const { shape } = results[name]!;
      const count = shape.reduce((n, d) => n * d, 1);
      const numbers = Float64Array.from({ length: count }, (_, i) => Math.sin(1 + 1.7 * i + k) + 0.3);
      factors[name] = tensor("float64", shape, numbers);
      const weights = e.addWeight(e.view.main, e.fresh("loss_weights"), factors[name]);
      const [weighed, sum] = [e.fresh("weighed"), e.fresh("weighed_sum")];
      nodes.push(node("Mul", [name, weights], [weighed]));
      nodes.push(node("ReduceSum", [weighed], [sum], { keepdims: attr.int(0) }));
      return sum;
    });
    loss = e.fresh("loss");
    nodes.push(node("Sum", sums, [loss]));
    e.insert(e.view.main, nodes);
  });
  return { model: whole, loss, factors };
}

/** Real values in another floating-point type. */
export async function valuesIn(dtype: Real, values: Values, signal?: AbortSignal): Promise<Values> {
  const made: Record<string, ResidentTensor> = {};
  for (const [name, t] of Object.entries(values)) made[name] = await tensorIn(dtype, t, signal);
  return made;
}

/** Floating-point types that models are compared in. */
export type Real = "float32" | "float64";

const tensorIn = async (dtype: Real, t: Tensor, signal?: AbortSignal): Promise<ResidentTensor> => {
  const all = await resident(t, signal);
  return isFloat(t.dtype) && t.dtype !== dtype ? tensorOf(dtype, t.shape, numbersOf(all)) : all;
};

/** Attributes that name an element type. */
const naming = new Set(["to", "dtype", "stash_type", "softmax_precision"]);
/** Operators that compute in a type of their own unless they are told. */
const stashing = new Set(["LayerNormalization", "GroupNormalization", "RMSNormalization"]);

/** A model with all its real numbers in one floating-point type: inputs, weights, constants, casts. */
export async function modelIn(dtype: Real, model: Model, signal?: AbortSignal): Promise<Model> {
  const info = (v: ValueInfo): ValueInfo =>
    v.type?.kind === "tensor" && isFloat(v.type.dtype) ? { ...v, type: { ...v.type, dtype } } : v;
  const attributeIn = async (name: string, a: Attribute): Promise<Attribute> => {
    if (a.type === "tensor") return attr.tensor(await tensorIn(dtype, a.value, signal));
    if (a.type === "graph") return attr.graph(await graphIn(a.value));
    const named = a.type === "int" && naming.has(name) ? dtypeOf(Number(a.value)) : undefined;
    return named && isFloat(named) ? attr.int(codeOf(dtype)) : a;
  };
  const graphIn = async (g: Graph): Promise<Graph> => {
    const weights = new Map<string, Tensor>();
    for (const [name, t] of g.weights) weights.set(name, await tensorIn(dtype, t, signal));
    const nodes: Node[] = [];
    for (const n of g.nodes) {
      const attributes = new Map<string, Attribute>();
      for (const [name, a] of n.attributes) attributes.set(name, await attributeIn(name, a));
      const held = n.attributes.has("value") ? undefined : constantNodeValue(n);
      if (held && isFloat(held.dtype)) {
        attributes.clear();
        attributes.set("value", attr.tensor(await tensorIn(dtype, held, signal)));
      }
      if (stashing.has(n.op)) attributes.set("stash_type", attr.int(codeOf(dtype)));
      nodes.push({ ...n, attributes });
    }
    return { ...g, weights, nodes, inputs: g.inputs.map(info), outputs: g.outputs.map(info), types: new Map() };
  };
  return { ...model, graph: await graphIn(model.graph) };
}
