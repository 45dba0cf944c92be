import { type DType, definePass, type GraphView, type Model, PASS_API_VERSION, type Rule, rewrite } from "@pare/core";
import { inferTypes, type Types } from "@pare/ops/infer";

/** A pass that applies rules until none matches, and reports the nodes that they matched. */
export const rulePass = (name: string, rules: readonly Rule[]) =>
  Object.assign(
    definePass({
      name,
      apiVersion: PASS_API_VERSION,
      run: (model, _, ctx) =>
        rewrite(model, rules, {
          signal: ctx.signal,
          onRewrite: (rule, node, view) => ctx.done({ view, node }, { rule: rule.name }),
        }),
    }),
    { rules },
  );

/** Several passes of rules in one: the graph is gone through once for all of them. */
export const together = (...passes: readonly { readonly passName: string; readonly rules: readonly Rule[] }[]) =>
  rulePass(
    passes.map((p) => p.passName).join(", "),
    passes.flatMap((p) => p.rules),
  );

const inferred = new WeakMap<Model, Types>();

/** The types of a model's values, inferred once. */
export function typesOf(model: Model): Types {
  let types = inferred.get(model);
  if (!types) inferred.set(model, (types = inferTypes(model)));
  return types;
}

const tensorType = (model: Model, view: GraphView, value: string) => {
  const type = typesOf(model).of(view, value);
  return type?.kind === "tensor" ? type : undefined;
};

export const dtypeOf = (model: Model, view: GraphView, value: string): DType | undefined =>
  tensorType(model, view, value)?.dtype;

/** The number of dimensions of a value. */
export const rankOf = (model: Model, view: GraphView, value: string): number | undefined =>
  tensorType(model, view, value)?.shape?.length;

/** The dimensions of a value when all of them are known by number or expression; their equality is that of the text. */
export function shapeOf(model: Model, view: GraphView, value: string): readonly (number | string)[] | undefined {
  const shape = tensorType(model, view, value)?.shape;
  return shape?.includes(null) ? undefined : (shape as readonly (number | string)[] | undefined);
}

/** Whether two values have the same shape, whatever the symbols stand for. */
export function haveSameShape(model: Model, view: GraphView, a: string, b: string): boolean {
  const [from, to] = [shapeOf(model, view, a), shapeOf(model, view, b)];
  return from !== undefined && to?.length === from.length && from.every((d, i) => d === to[i]);
}

/** Whether nobody but one node reads a value. */
export const readOnce = (view: GraphView, value: string): boolean =>
  !view.isOutput(value) && view.uses(value).length === 1;
