import {
  type Attribute,
  type Dim,
  type DType,
  type FunctionDef,
  type Graph,
  graph,
  type Model,
  model,
  type Node,
  node,
  type Tensor,
  tensor,
  type ValueInfo,
  value,
} from "@pare/core";

/** Collects a graph in the order in which it is written down, inventing names. Values are their names. */
export interface GraphBuilder {
  input(dtype: DType, shape?: readonly Dim[], name?: string): string;
  weight(tensor: Tensor, name?: string): string;
  /** A scalar constant, by default in float32. Equal ones are one. */
  number(value: number, dtype?: DType): string;
  /** A constant [N] of int64. Equal ones are one. */
  ints(...values: readonly number[]): string;
  /** Adds a node of the standard domain (or `domain.Op`) with one output, and returns it. */
  op(op: string, inputs: readonly string[], attributes?: Readonly<Record<string, Attribute>>): string;
  /** The same with several outputs. */
  ops(
    op: string,
    inputs: readonly string[],
    outputs: number,
    attributes?: Readonly<Record<string, Attribute>>,
  ): string[];
  /** Adds nodes as they are. */
  add(nodes: readonly Node[]): void;
  output(name: string, dtype?: DType, shape?: readonly Dim[]): void;
  graph(name?: string): Graph;
  model(parts?: Partial<Omit<Model, "graph">>): Model;
}

/**
 * Builds a graph. A `prefix` keeps the names of a subgraph apart from those around it.
 * @example const b = buildGraph(); const x = b.input("float32", ["N", 4]); b.output(b.op("Relu", [x])); b.model()
 */
export function buildGraph(prefix = ""): GraphBuilder {
  const inputs: ValueInfo[] = [];
  const outputs: ValueInfo[] = [];
  const weights = new Map<string, Tensor>();
  const nodes: Node[] = [];
  const count = new Map<string, number>();
  const fresh = (base: string) => {
    const n = count.get(base) ?? 0;
    count.set(base, n + 1);
    return `${prefix}${base}${n}`;
  };
  const constants = new Map<string, string>();
  const constant = (key: string, make: () => Tensor) => {
    const known = constants.get(key) ?? b.weight(make());
    constants.set(key, known);
    return known;
  };
  const b: GraphBuilder = {
    input(dtype, shape, name = fresh("x")) {
      inputs.push(value(name, dtype, shape));
      return name;
    },
    weight(t, name = fresh("w")) {
      weights.set(name, t);
      return name;
    },
    number: (n, dtype = "float32") => constant(`${dtype} ${n}`, () => tensor(dtype, [], [n])),
    ints: (...values) => constant(`ints ${values}`, () => tensor("int64", [values.length], values)),
    op: (op, from, attributes) => b.ops(op, from, 1, attributes)[0]!,
    ops(full, from, outs, attributes = {}) {
      const dot = full.lastIndexOf(".");
      const op = full.slice(dot + 1);
      const made = Array.from({ length: outs }, () => fresh(op.toLowerCase()));
      nodes.push(node(op, from, made, attributes, { domain: full.slice(0, Math.max(0, dot)), name: fresh(`${op}_`) }));
      return made;
    },
    add: (more) => void nodes.push(...more),
    output(name, dtype, shape) {
      outputs.push(dtype ? value(name, dtype, shape) : { name });
    },
    graph: (name = "main") => graph({ name, inputs, outputs, nodes, weights }),
    model: (parts) => model(b.graph(), parts),
  };
  return b;
}

/** A function of a model from its body. */
export const functionDef = (
  domain: string,
  name: string,
  body: Graph,
  opsets: ReadonlyMap<string, number>,
): FunctionDef => ({
  domain,
  name,
  overload: "",
  attributes: [],
  defaults: new Map(),
  opsets,
  body,
});
