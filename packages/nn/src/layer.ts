import {
  type Attribute,
  attr,
  type Dim,
  failure,
  graph,
  IR_OPSET,
  type Model,
  model,
  type Node,
  node,
  type Tensor,
  tensor,
  value,
} from "@pare/core";
import { type Fan, type Initializer, initialized } from "./initialize.ts";

/** A value between layers: its name, and its shape without the batch. */
export interface Signal {
  readonly name: string;
  /** Dimensions after the batch: `[channels, height, width]`, `[tokens, features]` or `[features]`. */
  readonly shape: readonly number[];
}

/** Part of a network: makes of a signal another. Layers that hold weights make new ones each time they are applied. */
export type Layer = (scope: Scope, x: Signal) => Signal;

/** Where nodes and weights of a layer go, under its name. */
export interface Scope {
  /** Adds a node of the standard domain. Its outputs are named after the layer. */
  op(op: string, inputs: readonly string[], attributes?: Readonly<Record<string, Attribute>>): string;
  ops(
    op: string,
    inputs: readonly string[],
    outputs: number,
    attributes?: Readonly<Record<string, Attribute>>,
  ): readonly string[];
  /** Adds a weight of float32, which begins as the initializer says. */
  weight(name: string, shape: readonly number[], initializer: Initializer, fan?: Fan): string;
  /** Adds a constant that is no weight: a shape, a bound. */
  constant(name: string, t: Tensor): string;
  ints(name: string, values: readonly number[]): string;
  /** Applies a layer under a name of its own: `conv2d`, `conv2d_2`. */
  within(kind: string, layer: Layer, x: Signal): Signal;
  /** Throws that a layer does not fit what it is given. */
  refuse(reason: string): never;
}

/** Gives a layer its kind, which names it. */
export const named =
  (kind: string, layer: Layer): Layer =>
  (scope, x) =>
    scope.within(kind, layer, x);

/** One layer after another. */
export const sequential = (...layers: readonly Layer[]): Layer =>
  named("sequential", (scope, x) => layers.reduce((v, layer) => layer(scope, v), x));

export interface BuildOptions {
  /** Shape of the input without the batch: `[1, 28, 28]`. */
  readonly input: readonly number[];
  /** The same seed gives the same weights. Default 0. */
  readonly seed?: number;
  /** Names of the input and the output. Default `input` and `logits`. */
  readonly inputName?: string;
  readonly outputName?: string;
}

/**
 * The network as a model: input float32 `[N, …input]`, output float32 `[N, …]`. Weights are computed from the seed when they are
 * read; those of a layer depend on its name alone, not on the layers around it.
 * @throws PareError `nn/layer` with the layer that does not fit what it is given
 */
export function build(layer: Layer, options: BuildOptions): Model {
  const { input, seed = 0, inputName = "input", outputName = "logits" } = options;
  if (input.some((d) => !Number.isInteger(d) || d < 1))
    throw failure("nn/input", `an input of shape [${input}] has no such size`, {
      hint: "Give the sizes of its dimensions without the batch: [3, 224, 224].",
    });
  const nodes: Node[] = [];
  const weights = new Map<string, Tensor>();
  const scope = scopeOf({ nodes, weights, seed }, "");
  const result = layer(scope, { name: inputName, shape: input });
  const last = nodes.length > 0 ? nodes[nodes.length - 1]! : undefined;
  if (!last?.outputs.includes(result.name)) nodes.push(node("Identity", [result.name], [outputName]));
  else nodes[nodes.length - 1] = { ...last, outputs: last.outputs.map((v) => (v === result.name ? outputName : v)) };
  const shaped = (shape: readonly number[]): Dim[] => ["N", ...shape];
  return model(
    graph({
      inputs: [value(inputName, "float32", shaped(input))],
      outputs: [value(outputName, "float32", shaped(result.shape))],
      nodes,
      weights,
    }),
    { opsets: new Map([["", IR_OPSET]]) },
  );
}

interface Building {
  readonly nodes: Node[];
  readonly weights: Map<string, Tensor>;
  readonly seed: number;
}

function scopeOf(building: Building, path: string): Scope {
  const { nodes, weights, seed } = building;
  const counts = new Map<string, number>();
  const fresh = (base: string) => {
    const count = (counts.get(base) ?? 0) + 1;
    counts.set(base, count);
    return `${path}${base}${count > 1 ? `_${count}` : ""}`;
  };
  const hold = (name: string, t: Tensor) => {
    weights.set(name, t);
    return name;
  };
  const scope: Scope = {
    op: (op, inputs, attributes) => scope.ops(op, inputs, 1, attributes)[0]!,
    ops(op, inputs, outputs, attributes = {}) {
      const name = fresh(op);
      const made = Array.from({ length: outputs }, (_, i) => (outputs > 1 ? `${name}:${i}` : `${name}:out`));
      nodes.push(node(op, inputs, made, attributes, { name }));
      return made;
    },
    weight(name, shape, initializer, fan = { in: shape[0] ?? 1, out: shape[0] ?? 1 }) {
      const full = fresh(name);
      return hold(full, initialized(initializer, shape, fan, seed, full));
    },
    constant: (name, t) => hold(fresh(name), t),
    ints: (name, values) => hold(fresh(name), tensor("int64", [values.length], [...values])),
    within: (kind, layer, x) => layer(scopeOf(building, `${fresh(kind)}/`), x),
    refuse(reason) {
      const where = path.slice(0, -1) || "the network";
      throw failure("nn/layer", `${where} ${reason}`, { location: { node: where } });
    },
  };
  return scope;
}

/** Attributes of integers. */
export const ints = (values: readonly number[]): Attribute => attr.ints([...values]);
