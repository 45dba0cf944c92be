import {
  attribute,
  constantNodeValue,
  type DType,
  failure,
  type Graph,
  isPareError,
  type Model,
  type Node,
  operatorOf,
  placeOf,
  type ResidentTensor,
  type Tensor,
} from "@pare/core";
import { dtypeOf } from "../dtype-codes.ts";
import { fromTensor, isKnown, type Nd, numbersOf, toTensor } from "./array.ts";
import { loop, scan } from "./control.ts";
import type { EvaluateRule } from "./rule.ts";
import { rules } from "./rules.ts";
import { sequenceRules } from "./sequence.ts";
import { isArray, type Value } from "./value.ts";

/** Graphs inside graphs, and functions inside functions, that are gone into. */
const DEPTH_LIMIT = 64;

/** What a graph runs in. */
export interface Frame {
  readonly model: Model;
  readonly constants: ReadonlyMap<Tensor, Nd>;
  /** Values of the graph around. */
  readonly outer: ((name: string) => Value | undefined) | undefined;
  /** Values that the graph starts with. */
  readonly scope: Map<string, Value>;
  /** The attributes of the node that called the function whose body this is. */
  readonly attributes: Node["attributes"] | undefined;
  readonly depth: number;
  readonly signal: AbortSignal | undefined;
}

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
    if (isPareError(error) || (error instanceof Error && error.name === "AbortError")) throw error;
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

/** Runs the nodes of a graph; gives all its values. */
export function runGraph(g: Graph, frame: Frame): Map<string, Value> {
  const { scope, constants, outer, signal, depth } = frame;
  if (depth > DEPTH_LIMIT) throw failure("ops/too-deep", `graphs are nested more than ${DEPTH_LIMIT} deep`);
  for (const [name, t] of g.weights) if (!scope.has(name)) scope.set(name, constants.get(t)!);
  const read = (name: string): Value | undefined => (scope.has(name) ? scope.get(name) : outer?.(name));
  for (const n of g.nodes) {
    signal?.throwIfAborted();
    const inputs = n.inputs.map((v) => (v === "" ? undefined : read(v)));
    const results = guarded(n, () => runNode(n, inputs, frame, read));
    n.outputs.forEach((name, i) => {
      const result = results[i];
      if (name !== "" && result !== undefined) scope.set(name, stored(result));
    });
  }
  return scope;
}

function runNode(
  n: Node,
  inputs: readonly (Value | undefined)[],
  frame: Frame,
  read: (name: string) => Value | undefined,
): readonly (Value | undefined)[] {
  const node = frame.attributes ? withReferences(n, frame.attributes) : n;
  const deeper = { ...frame, depth: frame.depth + 1 };
  const inner: RunGraph = (g, given) => {
    const scope = new Map(g.inputs.map((v, i) => [v.name, given[i]!] as const));
    const values = runGraph(g, { ...deeper, outer: read, scope });
    return g.outputs.map((v) => (values.has(v.name) ? values.get(v.name) : read(v.name))!);
  };
  const f = frame.model.functions.find((d) => d.domain === node.domain && d.name === node.op);
  if (f) {
    const given = f.body.inputs.flatMap((v, i) => (inputs[i] === undefined ? [] : [[v.name, inputs[i]] as const]));
    const attributes = new Map([...f.defaults, ...node.attributes]);
    const values = runGraph(f.body, { ...deeper, outer: undefined, scope: new Map(given), attributes });
    return f.body.outputs.map((v) => values.get(v.name));
  }
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
        return loop(attribute(node, "body", "graph")!, inputs, inner);
      case "Scan":
        return scan(node, inputs as readonly Nd[], inner);
      default: {
        const others = sequenceRules.get(node.op);
        if (others) return others({ node, inputs, run: inner });
        if (node.op === "Identity" && inputs[0] !== undefined) return [inputs[0]];
        const arrays = inputs.map((v) => (v !== undefined && isArray(v) ? v : undefined));
        const rule = ruleFor(node, arrays);
        if (rule && arrays.every((v, i) => v === inputs[i])) return rule({ node, inputs: arrays });
      }
    }
  const types = new Set(inputs.flatMap((v) => (v && isArray(v) && !isKnown(v.dtype) ? [v.dtype] : [])));
  throw failure("ops/no-rule", `${[operatorOf(node), ...types].join(" of ")} is not evaluated`, {
    location: placeOf(node),
  });
}

const withReferences = (n: Node, given: Node["attributes"]): Node => ({
  ...n,
  attributes: new Map(
    [...n.attributes].flatMap(([name, a]) => {
      const value = a.type === "ref" ? given.get(a.name) : a;
      return value ? [[name, value] as const] : [];
    }),
  ),
});
