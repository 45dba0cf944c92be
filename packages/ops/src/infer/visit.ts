import {
  constantNodeValue,
  type Dim,
  type FunctionDef,
  type Graph,
  type GraphView,
  IR_OPSET,
  type Model,
  type Node,
  operatorOf,
  type ValueInfo,
  type ValueType,
  viewOf,
} from "@pare/core";
import { controlRules } from "./control.ts";
import { normal, substitute } from "./dims.ts";
import { outputDTypes } from "./dtype.ts";
import { elementwise } from "./elementwise.ts";
import { linear } from "./linear.ts";
import { makers } from "./make.ts";
import { recurrents } from "./recurrent.ts";
import { reductions } from "./reduce.ts";
import { reshapes } from "./reshape.ts";
import {
  type Call,
  type Fact,
  factOf,
  isNumbers,
  join,
  MOST_RANK,
  MOST_VALUES,
  type Shape,
  type ShapeRule,
  typeOfFact,
} from "./rule.ts";
import { selections } from "./select.ts";
import { sequenceRules } from "./sequence.ts";
import { constantFact, valueRules } from "./values.ts";
import { window } from "./window.ts";

const shapeRules: ReadonlyMap<string, ShapeRule> = new Map(
  Object.entries({
    ...elementwise,
    ...linear,
    ...makers,
    ...recurrents,
    ...reductions,
    ...reshapes,
    ...selections,
    ...window,
  }),
);
const values = new Map(Object.entries(valueRules));

/** Whether shapes of an operator's outputs can be inferred. */
export const hasRule = (n: Node): boolean =>
  n.domain === "" && (shapeRules.has(n.op) || sequenceRules.has(n.op) || controlRules.has(n.op));

/** What is known of the values of a graph; an entry that is undefined hides the graphs around. */
export type Facts = Map<string, Fact | undefined>;

interface Scope {
  readonly graph: Graph;
  readonly facts: Facts;
  readonly outer?: Scope;
  /** In the body of a function: the attributes of the node that calls it. */
  readonly attributes?: Node["attributes"];
  /** Names of the functions that are being called. */
  readonly calls: readonly FunctionDef[];
}

/** Infers all graphs of a model. */
export function visitModel(model: Model, given: ReadonlyMap<string, readonly Dim[]>): ReadonlyMap<GraphView, Facts> {
  const known = new Map<Graph, Facts>();
  const opset = model.opsets.get("") ?? IR_OPSET;
  const declared = declarations(model, given);
  const functions = new Map(model.functions.map((f) => [operatorOf({ domain: f.domain, op: f.name }), f]));
  // Bodies are visited again for each caller and turn; a model that nests them deeply is not followed to its end.
  let budget = 100_000 + 20 * viewOf(model).graphs.reduce((n, v) => n + v.graph.nodes.length, 0);

  const read = (scope: Scope | undefined, name: string): Fact | undefined => {
    for (let s = scope; s; s = s.outer) if (s.facts.has(name)) return s.facts.get(name);
    return undefined;
  };

  const enter = (
    graph: Graph,
    inputs: readonly (Fact | undefined)[],
    around: Omit<Scope, "graph" | "facts">,
  ): readonly (Fact | undefined)[] => {
    const scope: Scope = { ...around, graph, facts: new Map() };
    for (const [name, t] of graph.weights) scope.facts.set(name, constantFact(t));
    for (const [name, t] of graph.sparseWeights) scope.facts.set(name, { dtype: t.values.dtype, shape: t.shape });
    graph.inputs.forEach((v, i) => {
      // A weight that is an input too is only its default: its type counts, not its elements.
      const standard = graph.weights.get(v.name);
      const fact = inputs[i] ?? (standard && { dtype: standard.dtype, shape: standard.shape });
      scope.facts.set(v.name, declared.merge(fact, graph, v.name));
    });
    for (const n of graph.nodes) visit(n, scope);
    const before = known.get(graph);
    known.set(graph, before ? joined(before, scope.facts) : scope.facts);
    return graph.outputs.map((v) => read(scope, v.name));
  };

  const visit = (n: Node, scope: Scope) => {
    const found = budget-- > 0 ? results(scope.attributes ? withReferences(n, scope.attributes) : n, scope) : [];
    n.outputs.forEach((name, i) => {
      if (name !== "") scope.facts.set(name, declared.merge(found[i], scope.graph, name));
    });
  };

  const results = (node: Node, scope: Scope): readonly (Fact | undefined)[] => {
    const inputs = node.inputs.map((name) => (name === "" ? undefined : read(scope, name)));
    const f = functions.get(operatorOf(node));
    if (f) {
      if (scope.calls.includes(f)) return [];
      const attributes = new Map([...f.defaults, ...node.attributes]);
      return enter(f.body, inputs, { attributes, calls: [...scope.calls, f] });
    }
    if (node.domain !== "") return [];
    const { attributes, calls } = scope;
    const control = controlRules.get(node.op);
    if (control)
      return control({ node, inputs }, (g, given) =>
        enter(g, given, { outer: scope, calls, ...(attributes && { attributes }) }),
      );
    const constant = constantNodeValue(node);
    return constant ? [constantFact(constant)] : ruled({ node, inputs }, opset);
  };

  const main = model.graph.inputs.map(declared.input);
  enter(model.graph, main, { calls: [] });
  // Functions that nobody calls.
  for (const f of model.functions) if (!known.has(f.body)) enter(f.body, [], { calls: [f], attributes: f.defaults });
  return new Map(viewOf(model).graphs.map((v) => [v, known.get(v.graph) ?? new Map()]));
}

interface Ruling {
  readonly opset: number;
  readonly inputs: Call["inputs"];
  readonly facts: readonly (Fact | undefined)[];
}
/** What was said last of a node: models that are made from each other share most nodes, and the facts before them. */
const rulings = new WeakMap<Node, Ruling>();

/** What the rules of a standard operator say of its outputs. */
function ruled(c: Call, opset: number): readonly (Fact | undefined)[] {
  const last = rulings.get(c.node);
  if (last?.opset === opset && last.inputs.every((fact, i) => isSame(fact, c.inputs[i]))) return last.facts;
  const facts = applied(c, opset);
  rulings.set(c.node, { opset, inputs: c.inputs, facts });
  return facts;
}

/** Whether two facts are known to say the same: elements are not compared. */
const isSame = (a: Fact | undefined, b: Fact | undefined): boolean =>
  a === b ||
  (a?.shape !== undefined &&
    b?.shape !== undefined &&
    a.dtype === b.dtype &&
    !("values" in a || "values" in b || a.other || b.other) &&
    (a.shape === b.shape || (a.shape.length === b.shape.length && a.shape.every((d, i) => d === b.shape![i]))));

function applied(c: Call, opset: number): readonly (Fact | undefined)[] {
  const { node, inputs } = c;
  const facts = sequenceRules.get(node.op)?.(c);
  if (facts) return facts;
  if (node.op === "Identity") return inputs;
  const shapes = (shapeRules.get(node.op)?.(c) ?? []).map(possible);
  const elements = values.get(node.op)?.(c, shapes[0]) ?? [];
  return outputDTypes(node, inputs, opset).map((dtype, i): Fact => {
    const shape = shapes[i];
    const found = elements[i];
    const fits = found && shape && isNumbers(shape) && shape.reduce((n, d) => n * d, 1) === found.length;
    return { dtype, shape, ...(fits && found.length <= MOST_VALUES && { values: found }) };
  });
}

/** A shape without dimensions that none has. */
const possible = (shape: Shape): Shape =>
  shape && shape.length <= MOST_RANK
    ? shape.map((d) => (typeof d === "number" && !(Number.isSafeInteger(d) && d >= 0) ? null : d))
    : undefined;

const joined = (a: Facts, b: Facts): Facts =>
  new Map([...b].map(([name, fact]) => [name, a.has(name) ? join(a.get(name), fact) : fact]));

const withReferences = (n: Node, given: Node["attributes"]): Node =>
  [...n.attributes.values()].some((a) => a.type === "ref")
    ? {
        ...n,
        attributes: new Map(
          [...n.attributes].flatMap(([name, a]) => {
            const value = a.type === "ref" ? given.get(a.name) : a;
            return value ? [[name, value] as const] : [];
          }),
        ),
      }
    : n;

/** What the model says of its values, with the shapes that are given for its inputs. */
function declarations(model: Model, given: ReadonlyMap<string, readonly Dim[]>) {
  const infos = new Map(viewOf(model).graphs.map((v) => [v.graph, v.info]));
  const bodies = new Set(model.functions.map((f) => f.body));
  const symbols = new Set<string>();
  const bindings = new Map<string, Dim>();
  let contradicted = false;
  for (const { name, type } of model.graph.inputs) {
    const shape = type?.kind === "tensor" ? type.shape : undefined;
    for (const [i, d] of (shape ?? []).entries()) {
      const to = given.get(name)?.[i];
      if (typeof d === "string") symbols.add(d);
      if (typeof d === "string" && to !== undefined && to !== null) bindings.set(d, to);
      if (typeof d === "number" && to !== undefined && to !== d) contradicted = true;
    }
  }

  const fact = (type: ValueType | undefined, main: boolean): Fact | undefined => {
    const found = factOf(type);
    // A symbol of an inner graph may stand for something else in each turn.
    const dim = (d: Dim) =>
      typeof d === "string" && !main && !symbols.has(d) ? null : normal(substitute(normal(d), bindings));
    return found?.shape ? { ...found, shape: found.shape.map(dim) } : found;
  };

  /** The same object for the same declaration, so that what is computed from it is found again. */
  const factAsDeclared = (type: ValueType, main: boolean): Fact | undefined => {
    if (!main || given.size > 0) return fact(type, main);
    let found = declaredFacts.get(type);
    if (!found) {
      found = fact(type, true);
      if (found) declaredFacts.set(type, found);
    }
    return found;
  };

  return {
    input({ name, type }: ValueInfo): Fact | undefined {
      const shape = given.get(name)?.map(normal);
      const found = type && factAsDeclared(type, true);
      return shape && found ? { ...found, shape } : found;
    },
    /** The more exact of what was inferred and what is declared; what was inferred where they contradict each other. */
    merge(inferred: Fact | undefined, graph: Graph, name: string): Fact | undefined {
      const type = bodies.has(graph) ? undefined : infos.get(graph)?.(name)?.type;
      const said = type && factAsDeclared(type, graph === model.graph);
      if (!said) return inferred;
      if (!inferred) return contradicted ? { dtype: said.dtype, other: said.other } : said;
      return merged(inferred, contradicted ? { dtype: said.dtype, other: said.other } : said);
    },
  };
}

/** Types that graphs declare, as facts. */
const declaredFacts = new WeakMap<ValueType, Fact>();

function merged(inferred: Fact, said: Fact): Fact {
  if (inferred.dtype && inferred.shape?.every((d) => typeof d === "number")) return inferred;
  if (inferred.other) return { other: mergedTypes(inferred.other, said.other) };
  const { dtype, shape, values: elements } = { dtype: inferred.dtype ?? said.dtype, ...pick(inferred, said) };
  return { dtype, shape, ...(elements && { values: elements }), ...(!dtype && said.other && { other: said.other }) };
}

function pick(inferred: Fact, said: Fact) {
  const [a, b] = [inferred.shape, said.shape];
  const shape =
    a && b && a.length === b.length
      ? a.map((d, i) => (d === null || (typeof d === "string" && typeof b[i] === "number") ? b[i]! : d))
      : (a ?? b);
  return { shape, values: inferred.values };
}

function mergedTypes(a: ValueType, b: ValueType | undefined): ValueType {
  if (!b || a.kind !== b.kind || (a.kind !== "sequence" && a.kind !== "optional")) return a;
  const [x, y] = [factOf(a.element), factOf((b as typeof a).element)];
  const element = typeOfFact(x && y ? merged(x, y) : (x ?? y));
  return { kind: a.kind, ...(element && { element }) };
}
