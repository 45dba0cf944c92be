import {
  attr,
  constantOf,
  type GraphView,
  intsAttribute,
  type Node,
  node,
  type Rule,
  type RuleContext,
} from "@pare/core";
import { evaluateNode } from "@pare/ops/evaluate";
import { rankOf, readOnce, rulePass } from "./rule-pass.ts";

const permOf = (n: Node, view: GraphView, ctx: RuleContext): readonly number[] | undefined => {
  const perm = intsAttribute(n, "perm");
  const rank = perm ? undefined : rankOf(ctx.model, view, n.inputs[0]!);
  return perm ?? (rank === undefined ? undefined : Array.from({ length: rank }, (_, i) => rank - 1 - i));
};

/** What transposing by `first`, then by `second` comes to. */
const composed = (first: readonly number[], second: readonly number[]) => second.map((axis) => first[axis]!);
const isIdentity = (perm: readonly number[]) => perm.every((axis, i) => axis === i);
const transpose = (x: string, y: string, perm: readonly number[]) =>
  node("Transpose", [x], [y], { perm: attr.ints(perm) });

/** Two transpositions are one, or none. */
const twice: Rule = {
  name: "transpose-transpose",
  ops: ["Transpose"],
  match(n, view, ctx) {
    const before = view.producer(n.inputs[0]!);
    if (before?.op !== "Transpose" || before.domain !== "") return undefined;
    const [first, second] = [permOf(before, view, ctx), permOf(n, view, ctx)];
    if (!first || !second || first.length !== second.length) return undefined;
    const [x, y] = [before.inputs[0]!, n.outputs[0]!];
    const perm = composed(first, second);
    // A copy of an input of the graph into an output has to be made by something.
    if (isIdentity(perm) && (view.producer(x) || !view.isOutput(y)))
      return { remove: [n], keep: [before], redirect: [y, x] };
    return { remove: [n], keep: [before], add: [{ ...transpose(x, y, perm), name: n.name }] };
  },
};

/** Operators that work on each element alone, and broadcast. */
const elementwise = new Set(
  "Abs Add And Cast Ceil Celu Clip Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mul Neg Not Or Pow Reciprocal Relu Round Selu Sigmoid Sign Softplus Softsign Sqrt Sub Sum Swish Tanh Where Xor".split(
    " ",
  ),
);

/** Most elementwise operators between transpositions that are looked through. */
const MOST_BETWEEN = 32;

/** Elementwise operators between transpositions that undo each other: done on what was not transposed. */
const around: Rule = {
  name: "transpose-elementwise",
  ops: ["Transpose"],
  match(n, view, ctx) {
    const perm = permOf(n, view, ctx);
    const start = view.producer(n.inputs[0]!);
    if (!perm || !start || !elementwise.has(start.op)) return undefined;
    const remove: Node[] = [n];
    const keep = new Set<Node>();
    const add: Node[] = [];
    /** The name of what `value` is when it is transposed by `perm`; undefined where that takes a transposition. */
    const transposed = (value: string, output: string | undefined): string | undefined => {
      const made = view.producer(value);
      if (made?.op === "Transpose" && made.domain === "") {
        const first = permOf(made, view, ctx);
        if (!first || !isIdentity(composed(first, perm))) return undefined;
        keep.add(made);
        return made.inputs[0]!;
      }
      const constant = constantOf(view, value);
      if (constant && constant.shape.length < perm.length)
        return constant.shape.every((d) => d === 1) ? value : undefined;
      if (constant) {
        const moved = evaluateNode(transpose("x", "y", perm), [constant])?.[0];
        return moved && ctx.weight(`${value}_transposed`, moved);
      }
      if (made?.domain !== "" || !elementwise.has(made.op) || made.outputs.length !== 1) return undefined;
      if (!readOnce(view, value) || remove.length > MOST_BETWEEN) return undefined;
      if (rankOf(ctx.model, view, value) !== perm.length) return undefined;
      const inputs: string[] = [];
      for (const v of made.inputs) {
        const to = v === "" ? "" : transposed(v, undefined);
        if (to === undefined) return undefined;
        inputs.push(to);
      }
      const y = output ?? ctx.fresh(value);
      remove.push(made);
      add.push({ ...made, inputs, outputs: [y] });
      return y;
    };
    const found = transposed(n.inputs[0]!, n.outputs[0]!);
    return found !== undefined && keep.size > 0 ? { remove, keep: [...keep], add } : undefined;
  },
};

/** Removes transpositions that undo each other, next to each other or around elementwise operators. */
export const cancelTransposes = rulePass("cancel-transposes", [twice, around]);
