import { type Dim, type GraphView, labelOf, type Model, type Node, operatorOf, type ValueType } from "@pare/core";

export { substitute } from "./infer/dims.ts";
export { valuesFromInputs } from "./infer/from-inputs.ts";

import { type Fact, typeOfFact } from "./infer/rule.ts";
import { hasRule, visitModel } from "./infer/visit.ts";

/** Types of a model's values, as far as they can be known without running it. */
export interface Types {
  /** The type of a value that `view` sees, its own or one of the graphs around. */
  of(view: GraphView, name: string): ValueType | undefined;
  /** Why element type or shape of a value are not wholly known, in a sentence; undefined where they are. */
  reason(view: GraphView, name: string): string | undefined;
  /**
   * The elements of a small tensor of numbers, in row-major order, where something is known of them: what `Shape` gives and
   * what is computed from it. Numbers, expressions, null for one that is not known.
   */
  constantInts(view: GraphView, name: string): readonly Dim[] | undefined;
}

export interface InferOptions {
  /** Shapes of graph inputs in the place of those that the model declares. */
  readonly inputs?: ReadonlyMap<string, readonly Dim[]>;
}

/**
 * Infers element types and shapes of all values, in subgraphs and functions too, by the rules of the ONNX operators of the
 * IR's opset. Dimensions are numbers, expressions over the symbols of the graph's inputs (`2*N+1`; equal ones are equal
 * strings; a symbol stands for at least 1) or null. What the model declares is used where the rules know less. Nothing is
 * known of operators of other domains beyond what is declared. Never throws for what a model says.
 * @example inferTypes(model, { inputs: new Map([["image", [1, 3, 224, 224]]]) }).of(viewOf(model).main, "logits")
 */
export function inferTypes(model: Model, options: InferOptions = {}): Types {
  const known = visitModel(model, options.inputs ?? new Map());
  const factOf = (view: GraphView, name: string): Fact | undefined => {
    const definer = view.definer(name);
    return definer && known.get(definer)?.get(name);
  };
  return {
    of: (view, name) => typeOfFact(factOf(view, name)),
    constantInts: (view, name) => factOf(view, name)?.values,
    reason: (view, name) => explain(view, name, factOf),
  };
}

const isWhole = (f: Fact | undefined): boolean =>
  f?.other !== undefined || (f?.dtype !== undefined && f.shape !== undefined && !f.shape.includes(null));

/** Goes back to the first value of which less is known than of all that it is computed from. */
function explain(
  view: GraphView,
  name: string,
  factOf: (view: GraphView, name: string) => Fact | undefined,
): string | undefined {
  if (isWhole(factOf(view, name))) return undefined;
  let at = name;
  for (;;) {
    const maker = view.definer(at)?.producer(at);
    if (!maker) return `nothing says the shape of ${at}`;
    const origin = hasRule(maker)
      ? maker.inputs.find((v) => v !== "" && v !== at && !isWhole(factOf(view, v)))
      : undefined;
    if (origin === undefined) return because(maker);
    at = origin;
  }
}

const because = (n: Node): string =>
  hasRule(n)
    ? `what ${labelOf(n)} (${n.op}) gives depends on values that are known only when it runs`
    : `there is no rule for ${operatorOf(n)} (${labelOf(n)})`;
