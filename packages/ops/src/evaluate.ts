/** The evaluator: what a model means, computed slowly and obviously. The oracle of tests, and what folds constants. */
import {
  attribute,
  constantNodeValue,
  type DType,
  failure,
  type Graph,
  intAttribute,
  intsAttribute,
  type Model,
  type Node,
  type ResidentTensor,
  resident,
  type Tensor,
  type Values,
  viewOf,
} from "@pare/core";
import { dtypeOf } from "./dtype-codes.ts";
import { fromTensor, isKnown, type Nd, nd, numbersOf, slice, stack, toTensor, wholeAxis } from "./evaluate/array.ts";
import { cast } from "./evaluate/cast.ts";
import { rules } from "./evaluate/rules.ts";

/** Operators of the standard domain that are evaluated, control flow apart. */
export const evaluatedOperators: ReadonlySet<string> = new Set(rules.keys());

/**
 * The outputs of one node of the standard domain at the IR's opset, rounded to their element types; undefined where the
 * operator or an element type has no rule, or the node holds graphs.
 * @throws PareError when the inputs do not fit the operator
 */
export function evaluateNode(
  node: Node,
  inputs: readonly (ResidentTensor | undefined)[],
): ResidentTensor[] | undefined {
  const rule = ruleFor(node, inputs);
  return rule?.({ node, inputs: inputs.map((t) => t && fromTensor(t)) }).map(toTensor);
}

/** The rule of a node whose values all have types that the evaluator knows. */
function ruleFor(node: Node, inputs: readonly ({ readonly dtype: DType } | undefined)[]) {
  const named = ["to", "output_dtype"]
    .flatMap((name) => attribute(node, name, "int") ?? [])
    .map((code) => dtypeOf(Number(code)));
  const types = [...inputs.flatMap((t) => t?.dtype ?? []), ...named];
  return node.domain === "" && types.every((t) => t === undefined || isKnown(t)) ? rules.get(node.op) : undefined;
}

export interface EvaluateOptions {
  /** Values wanted, inner ones of the main graph too; by default the outputs. */
  readonly outputs?: readonly string[];
  readonly signal?: AbortSignal;
}

/**
 * Computes a model in float64, rounding each value once to its element type.
 * @throws PareError `ops/no-rule` naming an operator that is not evaluated, `ops/input` for an input that is missing
 */
export async function evaluate(model: Model, inputs: Values, options: EvaluateOptions = {}): Promise<Values> {
  const { signal } = options;
  const outputs = options.outputs ?? model.graph.outputs.map((v) => v.name);
  const constants = new Map<Tensor, Nd>();
  for (const { graph } of viewOf(model).graphs)
    for (const t of [...graph.weights.values(), ...graph.nodes.flatMap((n) => constantNodeValue(n) ?? [])])
      constants.set(t, known(await resident(t, signal)));

  const scope = new Map<string, Nd>();
  for (const { name } of model.graph.inputs) {
    const given = inputs[name];
    if (given) scope.set(name, known(given));
    else if (!model.graph.weights.has(name))
      throw failure("ops/input", `the input ${name} is missing`, { location: { value: name } });
  }
  const values = runGraph(model.graph, {
    model,
    constants,
    outer: undefined,
    scope,
    attributes: undefined,
    ...(signal ? { signal } : {}),
  });
  const results = outputs.map((name) => {
    const found = values.get(name);
    if (!found) throw failure("ops/output", `nothing computes ${name}`, { location: { value: name } });
    if (!isKnown(found.dtype))
      throw failure("ops/no-rule", `${found.dtype} is not evaluated`, { location: { value: name } });
    return [name, toTensor(found)] as const;
  });
  return Object.fromEntries(results);
}

/** A tensor as an array; one of a type that is not known keeps its place, but no rule takes it. */
const known = (t: ResidentTensor): Nd =>
  isKnown(t.dtype) ? fromTensor(t) : { dtype: t.dtype, shape: t.shape, data: new Float64Array(0) };

interface Frame {
  readonly model: Model;
  readonly constants: ReadonlyMap<Tensor, Nd>;
  /** Values of the graph around. */
  readonly outer: ((name: string) => Nd | undefined) | undefined;
  /** Values that the graph starts with. */
  readonly scope: Map<string, Nd>;
  /** The attributes of the node that called the function whose body this is. */
  readonly attributes: Node["attributes"] | undefined;
  readonly signal?: AbortSignal;
}

/** Runs the nodes of a graph; gives all its values. */
function runGraph(g: Graph, frame: Frame): Map<string, Nd> {
  const { scope, constants, outer } = frame;
  for (const [name, t] of g.weights) if (!scope.has(name)) scope.set(name, constants.get(t)!);
  const read = (name: string): Nd | undefined => scope.get(name) ?? outer?.(name);
  for (const n of g.nodes) {
    frame.signal?.throwIfAborted();
    const results = runNode(
      n,
      n.inputs.map((v) => (v === "" ? undefined : read(v))),
      frame,
      read,
    );
    n.outputs.forEach((name, i) => {
      // Each value is rounded to its type, as a runtime stores it.
      if (name !== "" && results[i])
        scope.set(name, isKnown(results[i].dtype) ? fromTensor(toTensor(results[i])) : results[i]);
    });
  }
  return scope;
}

function runNode(
  n: Node,
  inputs: readonly (Nd | undefined)[],
  frame: Frame,
  read: (name: string) => Nd | undefined,
): readonly Nd[] {
  const node = frame.attributes ? withReferences(n, frame.attributes) : n;
  const inner = (g: Graph, scope: Map<string, Nd>): Nd[] => {
    const values = runGraph(g, { ...frame, outer: read, scope });
    return g.outputs.map((v) => (values.get(v.name) ?? read(v.name))!);
  };
  const f = frame.model.functions.find((d) => d.domain === node.domain && d.name === node.op);
  if (f) {
    const scope = new Map(f.body.inputs.flatMap((v, i) => (inputs[i] ? [[v.name, inputs[i]] as const] : [])));
    const attributes = new Map([...f.defaults, ...node.attributes]);
    const values = runGraph(f.body, { ...frame, outer: undefined, scope, attributes });
    return f.body.outputs.map((v) => values.get(v.name)!);
  }
  if (node.domain === "")
    switch (node.op) {
      case "Constant": {
        const t = constantNodeValue(node);
        if (t) return [frame.constants.get(t) ?? known(t as ResidentTensor)];
        break;
      }
      case "If":
        return inner(attribute(node, numbersOf(inputs[0]!)[0] ? "then_branch" : "else_branch", "graph")!, new Map());
      case "Loop":
        return loop(attribute(node, "body", "graph")!, inputs, inner);
      case "Scan":
        return scan(node, inputs, inner);
      default: {
        const rule = ruleFor(node, inputs);
        if (rule) return rule({ node, inputs });
      }
    }
  throw failure("ops/no-rule", `${node.domain && `${node.domain}.`}${node.op} is not evaluated`, {
    location: { node: node.name || node.outputs[0] || "", op: node.op },
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

function loop(body: Graph, inputs: readonly (Nd | undefined)[], run: (g: Graph, scope: Map<string, Nd>) => Nd[]): Nd[] {
  const [trips, condition, ...first] = inputs;
  const limit = trips ? Number(trips.data[0]) : Number.POSITIVE_INFINITY;
  let go = condition ? Boolean(condition.data[0]) : true;
  let carried = first as Nd[];
  const scans: Nd[][] = [];
  for (let i = 0; i < limit && go; i++) {
    const given = [nd("int64", [], [i]), cast(nd("float64", [], [1]), "bool"), ...carried];
    const [next, ...rest] = run(body, new Map(body.inputs.map((v, k) => [v.name, given[k]!])));
    go = Boolean(next!.data[0]);
    carried = rest.slice(0, carried.length);
    rest.slice(carried.length).forEach((part, k) => {
      (scans[k] ??= []).push(part);
    });
  }
  const stacked = scans.map((parts) => {
    const shape = [parts.length, ...parts[0]!.shape];
    return nd(
      parts[0]!.dtype,
      shape,
      parts.flatMap((p) => Array.from<number | bigint>(p.data)),
    );
  });
  return [...carried, ...stacked];
}

/** Runs a body along axes of its inputs, with state. (ONNX 1.22, Scan 9 and later.) */
function scan(node: Node, inputs: readonly (Nd | undefined)[], run: (g: Graph, scope: Map<string, Nd>) => Nd[]): Nd[] {
  const body = attribute(node, "body", "graph")!;
  const count = intAttribute(node, "num_scan_inputs", 0);
  const states = inputs.length - count;
  const sequences = inputs.slice(states) as Nd[];
  const list = (name: string, length: number) => intsAttribute(node, name) ?? new Array<number>(length).fill(0);
  const axes = list("scan_input_axes", count).map((a, i) => wholeAxis(a, sequences[i]!.shape.length));
  const backward = list("scan_input_directions", count);
  const length = sequences[0]!.shape[axes[0]!]!;
  let state = inputs.slice(0, states) as Nd[];
  const scans: Nd[][] = Array.from({ length: body.outputs.length - states }, () => []);
  const directions = list("scan_output_directions", scans.length);
  for (let t = 0; t < length; t++) {
    const slices = sequences.map((x, i) => slice(x, axes[i]!, backward[i] === 1 ? length - 1 - t : t));
    const results = run(body, new Map(body.inputs.map((v, k) => [v.name, [...state, ...slices][k]!])));
    state = results.slice(0, states);
    scans.forEach((parts, k) => {
      if (directions[k] === 1) parts.unshift(results[states + k]!);
      else parts.push(results[states + k]!);
    });
  }
  const outAxes = list("scan_output_axes", scans.length);
  return [...state, ...scans.map((parts, k) => stack(parts, outAxes[k]!))];
}
