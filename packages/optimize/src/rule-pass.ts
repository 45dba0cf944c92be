import { definePass, type GraphView, type Model, PASS_API_VERSION, type Rule, rewrite } from "@pare/core";
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

/** The dimensions of a value when all of them are known by number or expression; their equality is that of the text. */
export function shapeOf(model: Model, view: GraphView, value: string): readonly (number | string)[] | undefined {
  const type = typesOf(model).of(view, value);
  const shape = type?.kind === "tensor" ? type.shape : undefined;
  return shape?.includes(null) ? undefined : (shape as readonly (number | string)[] | undefined);
}

/** The number of dimensions of a value. */
export function rankOf(model: Model, view: GraphView, value: string): number | undefined {
  const type = typesOf(model).of(view, value);
  return type?.kind === "tensor" ? type.shape?.length : undefined;
}

/** Whether nobody but one node reads a value. */
export const readOnce = (view: GraphView, value: string): boolean =>
  !view.isOutput(value) && view.uses(value).length === 1;
