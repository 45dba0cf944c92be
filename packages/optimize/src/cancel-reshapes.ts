import {
  constantOf,
  type GraphView,
  intAttribute,
  type Node,
  node,
  type Rule,
  type RuleContext,
  tensor,
} from "@pare/core";
import { numbersOf } from "@pare/ops/numeric";
import { haveSameShape, rulePass, shapeOf } from "./rule-pass.ts";

const reshaping = ["Reshape", "Flatten", "Squeeze", "Unsqueeze"] as const;
const isReshaping = (n: Node | undefined): n is Node =>
  n?.domain === "" && (reshaping as readonly string[]).includes(n.op);

/** Two operators in a row that only give elements another shape are one. */
const twice: Rule = {
  name: "reshape-reshape",
  ops: reshaping,
  match(n, view, ctx) {
    const before = view.producer(n.inputs[0]!);
    if (!isReshaping(before)) return undefined;
    const [x, y] = [before.inputs[0]!, n.outputs[0]!];
    if (haveSameShape(ctx.model, view, x, y) && (view.producer(x) || !view.isOutput(y)))
      return { remove: [n], keep: [before], redirect: [y, x] };
    const shape = shapeInput(n, view, shapeOf(ctx.model, view, y), ctx);
    return shape === undefined
      ? undefined
      : { remove: [n], keep: [before], add: [node("Reshape", [x, shape], [y], {}, { name: n.name })] };
  },
};

/** The second input of a `Reshape` that gives what `n` does, whatever shape it is given. */
function shapeInput(n: Node, view: GraphView, to: readonly (number | string)[] | undefined, ctx: RuleContext) {
  if (n.op === "Reshape") {
    const shape = constantOf(view, n.inputs[1]!);
    // A zero means what the input has there.
    if (shape && intAttribute(n, "allowzero", 0) === 0 && numbersOf(shape).every((d) => d !== 0)) return n.inputs[1]!;
  }
  const unknown = to?.filter((d) => typeof d === "string").length ?? 2;
  if (!to || unknown > 1 || to.includes(0)) return undefined;
  const dims = to.map((d) => (typeof d === "string" ? -1 : d));
  return ctx.weight(`${n.outputs[0]}_shape`, tensor("int64", [dims.length], dims));
}

/** Makes chains of operators that only change shapes one `Reshape`, or none. */
export const cancelReshapes = rulePass("cancel-reshapes", [twice]);
