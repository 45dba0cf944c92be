/** The evaluator: what a model means, computed slowly and obviously. The oracle of tests, and what folds constants. */
import {
  constantNodeValue,
  failure,
  type Model,
  type Node,
  operatorOf,
  type ResidentTensor,
  resident,
  type SparseTensor,
  type Tensor,
  type Values,
  viewOf,
} from "@pare/core";
import { fromTensor, isKnown, type Nd, toTensor } from "./evaluate/array.ts";
import { Budget, type EvaluateLimits } from "./evaluate/budget.ts";
import { rules } from "./evaluate/rules.ts";
import { arrayOf, guarded, ruleFor, sparseConstant, steps } from "./evaluate/run.ts";
import { sequenceRules } from "./evaluate/sequence.ts";
import { denseOf } from "./evaluate/sparse.ts";
import { isSequence, type Value } from "./evaluate/value.ts";

export type { EvaluateLimits } from "./evaluate/budget.ts";
export { type Window, windowOf } from "./evaluate/linear.ts";
export { type ResizedAxis, type ResizeInputs, resizedAxes, resizeTaps } from "./evaluate/resize.ts";
export { type Lives, livesOf, withReferences } from "./evaluate/run.ts";

/** Operators of the standard domain that are evaluated. */
export const evaluatedOperators: ReadonlySet<string> = new Set([
  ...rules.keys(),
  ...sequenceRules.keys(),
  ...["Constant", "If", "Loop", "Scan"],
]);

/**
 * The outputs of one node of the standard domain at the IR's opset, rounded to their element types; undefined where the
 * operator or an element type has no rule, or the node holds graphs.
 * @throws PareError when the inputs do not fit the operator, or a result is too large
 */
export function evaluateNode(
  node: Node,
  inputs: readonly (ResidentTensor | undefined)[],
): ResidentTensor[] | undefined {
  const rule = ruleFor(node, inputs);
  return (
    rule &&
    guarded(node, () => {
      const [budget, given] = [new Budget(), inputs.map((t) => t && fromTensor(t))];
      budget.start(given);
      const results = rule({ node, inputs: given, budget });
      for (const result of results) budget.hold(result);
      return results.map(toTensor);
    })
  );
}

export interface EvaluateOptions {
  /** Values wanted, inner ones of the main graph too; by default the outputs. */
  readonly outputs?: readonly string[];
  readonly limits?: EvaluateLimits;
  readonly signal?: AbortSignal;
}

/** How long nodes run before others have their turn, and an abort is heard. */
const SLICE_MS = 50;

/** A value of any kind: a tensor, a sequence as an array of values, or null for an optional that has none. */
export type AnyValue = ResidentTensor | readonly AnyValue[] | null;

/**
 * Computes a model in float64, rounding each value once to its element type.
 * @throws PareError `ops/no-rule` naming an operator that is not evaluated, `ops/input` for an input that is missing,
 *   `ops/too-large`, `ops/too-long` and `ops/too-deep` where a bound is passed, `ops/malformed`, `ops/shape`, …
 */
export async function evaluate(model: Model, inputs: Values, options: EvaluateOptions = {}): Promise<Values> {
  const results = await evaluateValues(model, new Map(Object.entries(inputs)), options);
  const tensors = [...results].map(([name, v]) => {
    if (v === null || Array.isArray(v))
      throw failure("ops/output", `${name} is no tensor`, { location: { value: name }, hint: "Use evaluateValues." });
    return [name, v as ResidentTensor] as const;
  });
  return Object.fromEntries(tensors);
}

/** The same for models whose inputs or outputs are sequences or optionals too. */
export async function evaluateValues(
  model: Model,
  inputs: ReadonlyMap<string, AnyValue>,
  options: EvaluateOptions = {},
): Promise<ReadonlyMap<string, AnyValue>> {
  const { signal, limits } = options;
  const constants = new Map<Tensor | SparseTensor, Nd>();
  for (const { graph } of viewOf(model).graphs) {
    for (const t of [...graph.weights.values(), ...graph.nodes.flatMap((n) => constantNodeValue(n) ?? [])])
      constants.set(t, arrayOf(await resident(t, signal)));
    for (const t of [...graph.sparseWeights.values(), ...graph.nodes.flatMap((n) => sparseConstant(n) ?? [])])
      constants.set(t, await denseOf(t, signal));
  }

  const scope = new Map<string, Value>();
  for (const { name, type } of model.graph.inputs) {
    const given = inputs.get(name);
    if (given !== undefined) scope.set(name, toValue(given));
    else if (type?.kind === "optional") scope.set(name, null);
    else if (!model.graph.weights.has(name) && !model.graph.sparseWeights.has(name))
      throw failure("ops/input", `the input ${name} is missing`, { location: { value: name } });
  }
  const wanted = options.outputs ?? model.graph.outputs.map((v) => v.name);
  const run = steps(model.graph, {
    functions: new Map(model.functions.map((f) => [operatorOf({ domain: f.domain, op: f.name }), f])),
    constants,
    outer: undefined,
    scope,
    attributes: undefined,
    depth: 0,
    budget: new Budget(limits),
    wanted: new Set(wanted),
  });
  for (let since = performance.now(); !run.next().done; ) {
    if (performance.now() - since < SLICE_MS) continue;
    await new Promise((resolve) => setTimeout(resolve));
    signal?.throwIfAborted();
    since = performance.now();
  }
  return new Map(
    wanted.map((name) => {
      const found = scope.get(name);
      if (found === undefined) throw failure("ops/output", `nothing computes ${name}`, { location: { value: name } });
      return [name, fromValue(found, name)];
    }),
  );
}

const toValue = (v: AnyValue): Value =>
  v === null ? null : Array.isArray(v) ? v.map(toValue) : arrayOf(v as ResidentTensor);

function fromValue(v: Value, name: string): AnyValue {
  if (v === null) return null;
  if (isSequence(v)) return v.map((item) => fromValue(item, name));
  if (isKnown(v.dtype)) return toTensor(v);
  throw failure("ops/no-rule", `${v.dtype} is not evaluated`, { location: { value: name } });
}
