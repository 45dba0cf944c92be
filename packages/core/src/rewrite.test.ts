import { expect, test, vi } from "vitest";
import { inOrder, node, type Rule, rewrite, tensor, viewOf } from "./index.ts";
import { parse } from "./parse.ts";
import { print } from "./print.ts";

const code = (expected: string) => expect.objectContaining({ code: expected });
const identity: Rule = {
  name: "identity",
  ops: ["Identity"],
  match: (n) => ({ remove: [n], redirect: [n.outputs[0]!, n.inputs[0]!] }),
};

test("a chain of 30,000 goes in one round", () => {
  const nodes = Array.from({ length: 30_000 }, (_, i) => `v${i + 1} = Identity(v${i})`).join("\n");
  const m = parse(`main (v0) => (y) { ${nodes}\n y = Relu(v30000) }`);
  const onRewrite = vi.fn();
  const made = rewrite(m, [identity], { onRewrite });
  expect(onRewrite).toHaveBeenCalledTimes(30_000);
  expect(print(made)).toContain("{\n  y = Relu(v0)\n}");
});

test("matches that touch each other wait, and one that is kept is not removed", () => {
  const m = parse("main (x) => (y) { a = Neg(x)  b = Neg(a)  c = Neg(b)  y = Neg(c) }");
  const rounds: string[] = [];
  const pair: Rule = {
    name: "neg-neg",
    ops: ["Neg"],
    match(n, view) {
      const before = view.producer(n.inputs[0]!);
      if (before?.op !== "Neg" || view.uses(before.outputs[0]!).length !== 1) return undefined;
      return { remove: [n, before], add: [node("Identity", before.inputs, n.outputs)] };
    },
  };
  const made = rewrite(m, [pair, identity], { onRewrite: (rule, n) => rounds.push(`${rule.name} ${n.outputs}`) });
  expect(rounds).toEqual(["neg-neg b", "neg-neg y", "identity b"]);
  expect(print(made)).toContain("y = Identity(x)");
});

test("a rule may add before the node that it matched, and a weight is added only where it matched", () => {
  const m = parse("main (x) => (y) { a = Relu(x)  y = Relu(a) }");
  const once: Rule = {
    name: "once",
    ops: ["Relu"],
    match(n, view, ctx) {
      const w = ctx.weight("limit", tensor("float32", [], [6]));
      if (view.graph.weights.size > 0 || view.isOutput(n.outputs[0]!)) return undefined;
      return { remove: [], add: [node("Report", [n.outputs[0]!, w], [])] };
    },
  };
  const made = rewrite(m, [once]);
  expect(made.graph.nodes.map((n) => n.op)).toEqual(["Relu", "Report", "Relu"]);
  expect(made.graph.weights.size).toBe(1);
});

test("rules that undo each other are named", () => {
  const swap = (name: string, from: string, to: string): Rule => ({
    name,
    ops: [from],
    match: (n) => ({ remove: [n], add: [{ ...n, op: to }] }),
  });
  const m = parse("main (x) => (y) { y = Sin(x) }");
  expect(() => rewrite(m, [swap("a", "Sin", "Cos"), swap("b", "Cos", "Sin")], { maxRounds: 7 })).toThrow(
    code("core/rewrite-endless"),
  );
  const reason = new Error("stop");
  expect(() => rewrite(m, [identity], { signal: AbortSignal.abort(reason) })).toThrow(reason);
});

test("graphs inside a node that goes are left to the next round", () => {
  const m = parse(`main (x, c) => (y) {
    y = If<then_branch=t () => (o) { i = Identity(x)  o = Neg(i) }, else_branch=e () => (p) { p = Neg(x) }>(c)
  }`);
  const seen: string[] = [];
  const inline: Rule = {
    name: "inline",
    ops: ["If"],
    match: (n, view) => ({
      remove: [n],
      add: view.children[0]!.graph.nodes.map((k) => (k.op === "Neg" ? { ...k, outputs: ["y"] } : k)),
    }),
  };
  const made = rewrite(m, [inline, identity], {
    onRewrite: (rule, _, view) => seen.push(`${rule.name} in "${view.path}"`),
  });
  expect(seen).toEqual(['inline in ""', 'identity in ""']);
  expect(print(made)).toContain("{\n  y = Neg(x)\n}");
});

test("order is kept where it is one, made where it is not, and a cycle has a name", () => {
  const [a, b, c] = [node("A", ["x"], ["a"]), node("B", ["a", ""], ["b"]), node("C", ["b", "a"], ["c"])];
  const given = [a, b, c];
  expect(inOrder(given)).toBe(given);
  expect(inOrder([c, b, a])).toEqual([a, b, c]);
  expect(() => inOrder([node("A", ["b"], ["a"]), b])).toThrow(code("core/cycle"));
  expect(() => inOrder([node("A", ["a"], ["a"])])).toThrow(code("core/cycle"));
});

test("deep and wide nests of graphs take time that grows with their size", () => {
  let inner = "Neg(x)";
  for (let d = 0; d < 60; d++)
    inner = `If<then_branch=t${d} () => (o${d}) { o${d} = ${inner} }, else_branch=e${d} () => (p${d}) { p${d} = Neg(x) }>(c)`;
  const deep = parse(`main (x, c) => (y) { y = ${inner} }`);
  expect(viewOf(deep).main.uses("x")).toHaveLength(61);
  const branch = (i: number) => `t () => (o${i}) { i${i} = Identity(x)  o${i} = Neg(i${i}) }`;
  const nodes = Array.from(
    { length: 2_500 },
    (_, i) => `y${i} = If<then_branch=${branch(2 * i)}, else_branch=${branch(2 * i + 1)}>(c)`,
  );
  const made = rewrite(parse(`main (x, c) => (y0) { ${nodes.join("\n")} }`), [identity]);
  expect(viewOf(made).main.uses("x")).toHaveLength(5_000);
});
