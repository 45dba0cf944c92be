import { attribute, constantOf, type Rule } from "@pare/core";
import { inFunction } from "@pare/ops/weights";
import { inlined } from "./inline.ts";
import { rulePass } from "./rule-pass.ts";

const constantCondition: Rule = {
  name: "constant-condition",
  ops: ["If"],
  match(n, view, ctx) {
    const condition = constantOf(view, n.inputs[0]!);
    if (condition?.dtype !== "bool" || condition.byteLength !== 1) return undefined;
    const branch = attribute(n, condition.bytes[0] ? "then_branch" : "else_branch", "graph");
    if (!branch || branch.inputs.length > 0 || branch.sparseWeights.size > 0) return undefined;
    if (branch.weights.size > 0 && inFunction(view)) return undefined;
    return { remove: [n], add: inlined(branch, [], n.outputs, ctx) };
  },
};

/** Puts the branch that is taken in the place of an `If` whose condition is constant. */
export const inlineIf = rulePass("inline-if", [constantCondition]);
