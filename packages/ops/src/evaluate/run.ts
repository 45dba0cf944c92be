import {
  attribute,
  constantNodeValue,
  type DType,
  type FunctionDef,
  failure,
  type Graph,
  isPareError,
  type Node,
  operatorOf,
  PareError,
  placeOf,
  type ResidentTensor,
  readsOf,
  type SparseTensor,
  type Tensor,
} from "@pare/core";
import { dtypeOf } from "../dtype-codes.ts";
import { fromTensor, isKnown, type Nd, numbersOf, toTensor } from "./array.ts";
import type { Budget } from "./budget.ts";
import { loop, scan } from "./control.ts";
import type { EvaluateRule } from "./rule.ts";
import { rules } from "./rules.ts";
import { sequenceRules } from "./sequence.ts";
import { isArray, type Value } from "./value.ts";

/** Graphs inside graphs, and functions inside functions, that are gone into. */
const DEPTH_LIMIT = 64;

/** What a graph runs in. */
export interface Frame {
  /** The model's functions by their operators. */
  readonly functions: ReadonlyMap<string, FunctionDef>;
  readonly constants: ReadonlyMap<Tensor | SparseTensor, Nd>;
  /** Values of the graph around. */
  readonly outer: ((name: string) => Value | undefined) | undefined;
  /** Values that the graph starts with. */
  readonly scope: Map<string, Value>;
  /** The attributes of the node that called the function whose body this is. */
  readonly attributes: Node["attributes"] | undefined;
  readonly depth: number;
  readonly budget: Budget;
  /** Values that are wanted when the graph has run, beside its outputs. */
  readonly wanted: ReadonlySet<string>;
}

const NONE: ReadonlySet<string> = new Set();

/** Runs a graph inside a node with the values of its inputs; gives those of its outputs. */
export type RunGraph = (g: Graph, inputs: readonly Value[]) => Value[];

/** The rule of a node whose values all have types that the evaluator knows. */
export function ruleFor(
  node: Node,
  inputs: readonly ({ readonly dtype: DType } | undefined)[],
): EvaluateRule | undefined {
  const named = ["to", "output_dtype"]
    .flatMap((name) => attribute(node, name, "int") ?? [])
    .map((code) => dtypeOf(Number(code)));
  const types = [...inputs.flatMap((t) => t?.dtype ?? []), ...named];
  return node.domain === "" && types.every((t) => t === undefined || isKnown(t)) ? rules.get(node.op) : undefined;
}

/** Calls `compute`; what goes wrong because a node is not what its operator says becomes a PareError that names it. */
export function guarded<T>(node: Node, compute: () => T): T {
  try {
    return compute();
  } catch (error) {
    if (isPareError(error)) {
      if (error.diagnostics.every((d) => d.location)) throw error;
      const placed = error.diagnostics.map((d) => (d.location ? d : { ...d, location: placeOf(node) }));
      throw new PareError(placed, { cause: error });
    }
    throw failure("ops/malformed", `${node.op} cannot be computed: ${(error as Error).message}`, {
      location: placeOf(node),
      hint: "Its inputs or attributes are not what the operator takes: see checkNode.",
      cause: error,
    });
  }
}

/** Each value is rounded to its type, as a runtime stores it. */
const stored = (v: Value): Value => (isArray(v) && isKnown(v.dtype) ? fromTensor(toTensor(v)) : v);

/** A tensor as an array; one of a type that is not known keeps its place, but no rule takes it. */
export const arrayOf = (t: ResidentTensor): Nd =>
  isKnown(t.dtype) ? fromTensor(t) : { dtype: t.dtype, shape: t.shape, data: new Float64Array(0) };

/** Runs the nodes of a graph; gives its values as far as they are wanted. */
function runGraph(g: Graph, frame: Frame): ReadonlyMap<string, Value> {
  for (const _ of steps(g, frame));
  return frame.scope;
}

/** The same node by node, for whoever wants to stop between two. */
export function* steps(g: Graph, frame: Frame): Generator<void, void> {
  const { scope, constants, outer, depth, budget, wanted } = frame;
  if (depth > DEPTH_LIMIT) throw failure("ops/too-deep", `graphs are nested more than ${DEPTH_LIMIT} deep`);
  budget.start();
  for (const [name, t] of [...g.weights, ...g.sparseWeights]) if (!scope.has(name)) scope.set(name, constants.get(t)!);
  const read = (name: string): Value | undefined => (scope.has(name) ? scope.get(name) : outer?.(name));
  const { last } = livesOf(g);
  for (const [at, n] of g.nodes.entries()) {
    yield;
    const held = isConstant(n) && constants.get((constantNodeValue(n) ?? sparseConstant(n))!);
    if (held) {
      scope.set(n.outputs[0]!, held);
      continue;
    }
    const inputs = n.inputs.map((v) => (v === "" ? undefined : read(v)));
    const results = guarded(n, () => {
      budget.start(inputs);
      return runNode(n, inputs, frame, read);
    });
    n.outputs.forEach((name, i) => {
      const result = results[i];
      if (name === "" || result === undefined) return;
      guarded(n, () => budget.hold(result));
      scope.set(name, stored(result));
    });
    for (const name of last[at]!) {
      const value = scope.get(name);
      if (value === undefined || wanted.has(name)) continue;
      budget.release(value);
      scope.delete(name);
    }
  }
}

/** What a graph computes, and when it is needed no more. Constants are not computed. */
export interface Lives {
  readonly made: ReadonlySet<string>;
  /** For each node what no node after it reads; outputs of the graph are not among them. */
  readonly last: readonly (readonly string[])[];
}
const lives = new WeakMap<Graph, Lives>();

export function livesOf(g: Graph): Lives {
  const known = lives.get(g);
  if (known) return known;
  const made = new Set(g.nodes.flatMap((n) => (isConstant(n) ? [] : n.outputs)));
  const open = new Set(made);
  for (const { name } of g.outputs) open.delete(name);
  const last = g.nodes
    .toReversed()
    .map((n) => [...readsOf(n), ...n.outputs].filter((name) => open.delete(name)))
    .reverse();
  const found = { made, last };
  lives.set(g, found);
  return found;
}

/** The tensor of a `Constant` node that holds a sparse one. */
export const sparseConstant = (n: Node): SparseTensor | undefined =>
  isConstant(n) ? attribute(n, "sparse_value", "sparse") : undefined;

const isConstant = (n: Node): boolean => operatorOf(n) === "Constant";

function runNode(
  n: Node,
  inputs: readonly (Value | undefined)[],
  frame: Frame,
  read: (name: string) => Value | undefined,
): readonly (Value | undefined)[] {
  const node = frame.attributes ? withReferences(n, frame.attributes) : n;
  const { budget } = frame;
  const runInner = (g: Graph, given: readonly (Value | undefined)[], around: Partial<Frame>) => {
    const scope = new Map(
      g.inputs.flatMap(({ name }, i) => (given[i] === undefined ? [] : [[name, given[i]] as const])),
    );
    const values = runGraph(g, { ...frame, depth: frame.depth + 1, wanted: NONE, scope, ...around });
    for (const name of livesOf(g).made) budget.release(values.get(name) ?? null);
    return g.outputs.map((v) => values.get(v.name) ?? around.outer?.(v.name));
  };
  const inner: RunGraph = (g, given) => runInner(g, given, { outer: read }) as Value[];
  const f = frame.functions.get(operatorOf(node));
  if (f)
    return runInner(f.body, inputs, { outer: undefined, attributes: new Map([...f.defaults, ...node.attributes]) });
  if (node.domain === "")
    switch (node.op) {
      case "Constant": {
        const t = constantNodeValue(node);
        if (t) return [frame.constants.get(t) ?? arrayOf(t as ResidentTensor)];
        break;
      }
      case "If": {
        const branch = numbersOf(inputs[0] as Nd)[0] ? "then_branch" : "else_branch";
        return inner(attribute(node, branch, "graph")!, []);
      }
      case "Loop":
        return loop(attribute(node, "body", "graph")!, inputs, inner, budget);
      case "Scan":
        return scan(node, inputs as readonly Nd[], inner, budget);
      default: {
        const others = sequenceRules.get(node.op);
        if (others) return others({ node, inputs, run: inner, budget });
        if (node.op === "Identity" && inputs[0] !== undefined) return [inputs[0]];
        const arrays = inputs.map((v) => (v !== undefined && isArray(v) ? v : undefined));
        const rule = ruleFor(node, arrays);
        if (rule && arrays.every((v, i) => v === inputs[i])) return rule({ node, inputs: arrays, budget });
      }
    }
  const types = new Set(inputs.flatMap((v) => (v && isArray(v) && !isKnown(v.dtype) ? [v.dtype] : [])));
  throw failure("ops/no-rule", `${[operatorOf(node), ...types].join(" of ")} is not evaluated`, {
    location: placeOf(node),
  });
}

/** A node in the body of a function, with the attributes that the function was called with. */
export const withReferences = (n: Node, given: Node["attributes"]): Node => ({
  ...n,
  attributes: new Map(
    [...n.attributes].flatMap(([name, a]) => {
      const value = a.type === "ref" ? given.get(a.name) : a;
      return value ? [[name, value] as const] : [];
    }),
  ),
});
