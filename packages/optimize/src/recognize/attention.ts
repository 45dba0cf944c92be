import { attr, type GraphView, intAttribute, intsAttribute, type Model, type Node, node, type Rule } from "@pare/core";
import { rankOf, rulePass } from "../rule-pass.ts";
import { any, isClosed, type Match, matchNode, named, number, op, type Pattern } from "./pattern.ts";

const scores = op("MatMul", any("q"), named("turned", op("Transpose", any("k"))));
const scaledScores = [op("Div", scores, number("divisor")), op("Mul", scores, number("factor")), scores];
const masked = [...scaledScores, ...scaledScores.map((s) => op("Add", s, any("mask")))];
const patterns: Pattern[] = masked.map((s) => op("MatMul", named("softmax", op("Softmax", s)), any("v")));

/** Keys with their last two axes exchanged are what the scores multiply by. */
const SWAP = [0, 1, 3, 2];

function isAttention({ values, named: nodes }: Match, view: GraphView, model: Model): boolean {
  const isFour = (v: string) => rankOf(model, view, values.get(v)!) === 4;
  const axis = intAttribute(nodes.get("softmax")!, "axis", -1);
  return isFour("q") && isFour("k") && isFour("v") && (axis === -1 || axis === 3);
}

const attention: Rule = {
  name: "attention",
  ops: ["MatMul"],
  match(n, view, ctx) {
    for (const p of patterns) {
      const match = matchNode(n, p, view);
      if (!match || !isClosed(match, view) || !isAttention(match, view, ctx.model)) continue;
      const { values, numbers, named: nodes } = match;
      const perm = intsAttribute(nodes.get("turned")!, "perm");
      if (!perm) continue;
      const scale = numbers.get("factor") ?? 1 / (numbers.get("divisor") ?? 1);
      const restored = SWAP.map((axis) => perm[axis]!);
      const isPlain = restored.every((axis, i) => axis === i);
      const k = isPlain ? values.get("k")! : ctx.fresh(`${values.get("k")}_keys`);
      const add: Node[] = isPlain ? [] : [node("Transpose", [values.get("k")!], [k], { perm: attr.ints(restored) })];
      const mask = values.get("mask");
      const inputs = [values.get("q")!, k, values.get("v")!, ...(mask ? [mask] : [])];
      add.push(node("Attention", inputs, [n.outputs[0]!], { scale: attr.float(scale) }, { name: n.name }));
      return { remove: match.nodes, add };
    }
    return undefined;
  },
};

/**
 * Puts `Attention` in the place of `softmax(q kT * scale + mask) v` over [batch, heads, length, width], Vaswani et al.
 * 2017. Models with it need opset 23, so it is no part of `optimize`: it is for exporters that have attention.
 */
export const recognizeAttention = rulePass("recognize-attention", [attention]);
