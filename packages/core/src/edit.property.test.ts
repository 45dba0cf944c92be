import * as fc from "fast-check";
import { expect, test } from "vitest";
import { chooser, copy, meaning, randomModel, snapshot } from "../test/random-model.ts";
import {
  type Edit,
  edit,
  type GraphView,
  isPareError,
  type Model,
  type Node,
  node,
  type Rule,
  rewrite,
  tensor,
  verify,
  viewOf,
} from "./index.ts";

const tape = fc.array(fc.nat(1000), { minLength: 20, maxLength: 120 });

/** One random change that keeps what the model computes; `touched` nodes are left alone. */
function change(e: Edit, choose: (count: number) => number, touched: Set<Node>): void {
  const view = e.view.graphs[choose(e.view.graphs.length)]!;
  const n = view.graph.nodes[choose(view.graph.nodes.length)]!;
  const y = n.outputs[0]!;
  const claim = (...nodes: Node[]) => !nodes.some((m) => touched.has(m)) && nodes.every((m) => touched.add(m));
  switch (choose(9)) {
    case 0: // remove an Identity
      if (n.op === "Identity" && claim(n) && e.replaceValue(view, y, n.inputs[0]!)) e.replace(n, []);
      return;
    case 1: {
      // read a value through a new Identity
      const v = n.inputs.findIndex((name) => name !== "");
      if (v < 0 || !claim(n)) return;
      const fresh = e.fresh("t");
      e.insert(view, [node("Identity", [n.inputs[v]!], [fresh])], choose(2) ? n : undefined);
      e.setInput({ view, node: n, index: v }, fresh);
      return;
    }
    case 2: {
      // all readers of a value read through a new Identity
      const fresh = e.fresh(y);
      if (e.replaceValue(view, y, fresh)) e.insert(view, [node("Identity", [y], [fresh])]);
      return;
    }
    case 3: {
      // one of two equal nodes
      const other = view.graph.nodes.find((m) => m !== n && m.op === n.op && `${m.inputs}` === `${n.inputs}`);
      if (!other || n.op === "If" || n.op === "Constant" || n.outputs.length > 1 || !claim(n, other)) return;
      if (e.replaceValue(view, y, other.outputs[0]!)) e.replace(n, []);
      return;
    }
    case 4: {
      // write elsewhere, then copy
      if (!claim(n)) return;
      const fresh = e.fresh("t");
      e.replace(n, [{ ...n, outputs: [fresh, ...n.outputs.slice(1)] }, node("Identity", [fresh], [y])]);
      return;
    }
    case 5:
      for (const w of e.weights({ names: () => choose(2) === 0 }))
        if (!w.node || claim(w.node)) e.setWeight(w, tensor(w.tensor.dtype, w.tensor.shape, w.tensor.bytes!));
      return;
    case 6: // a weight becomes a node's value under the same name
      for (const [name, t] of view.graph.weights) {
        if (choose(2) || view.isOutput(name)) continue;
        const fresh = e.addWeight(view, `${name}_raw`, t);
        e.removeWeight(view, name);
        e.insert(view, [node("Identity", [fresh], [name])]);
        return;
      }
      return;
    case 7:
      e.setType(view, { name: y, type: { kind: "tensor", dtype: "float16" } });
      return;
    case 8:
      if (claim(n)) e.replace(n, [{ ...n, name: "copied" }]);
      return;
  }
}

/** Compares what is remembered of a model with what a stranger would find. */
function expectTrueIndex(m: Model): void {
  const found = viewOf(m).graphs;
  const fresh = viewOf(copy(m)).graphs;
  expect(found.map((v) => v.path)).toEqual(fresh.map((v) => v.path));
  const describe = (v: GraphView, value: string) => ({
    producer: v.producer(value) && v.graph.nodes.indexOf(v.producer(value)!),
    definer: v.definer(value)?.path,
    uses: v
      .uses(value)
      .map((u) => `${u.view.path}:${u.view.graph.nodes.indexOf(u.node)}:${u.index}`)
      .sort(),
    constant: v.constant(value)?.bytes,
  });
  found.forEach((v, i) => {
    const names = new Set(
      v.graph.nodes.flatMap((n) => [...n.inputs, ...n.outputs]).concat([...v.graph.weights.keys(), ""]),
    );
    for (const name of names) expect(describe(v, name)).toEqual(describe(fresh[i]!, name));
    for (const n of v.graph.nodes) expect(viewOf(m).of(n)).toBe(v);
  });
}

test("any batch of meaning-preserving changes gives a well-formed model that means the same, or an error", () => {
  const outcomes = { same: 0, changed: 0, failed: 0 };
  fc.assert(
    fc.property(tape, fc.array(tape, { minLength: 1, maxLength: 3 }), (modelTape, batches) => {
      let current = randomModel(modelTape);
      expect(verify(current)).toEqual([]);
      const terms = meaning(current);
      for (const batch of batches) {
        const choose = chooser(batch);
        const before = snapshot(current);
        const old = current;
        try {
          current = edit(current, (e) => {
            const touched = new Set<Node>();
            for (let i = 1 + choose(6); i > 0; i--) change(e, choose, touched);
          });
          outcomes[current === old ? "same" : "changed"]++;
        } catch (error) {
          if (!isPareError(error)) throw error;
          outcomes.failed++;
        }
        expect(snapshot(old)).toBe(before);
        expectTrueIndex(old);
        expect(verify(current)).toEqual([]);
        expect(meaning(current)).toEqual(terms);
        expectTrueIndex(current);
      }
    }),
    { numRuns: 400 },
  );
  expect(outcomes.changed).toBeGreaterThan(4 * outcomes.failed);
});

test("rewriting removes every Identity that may go, in all graphs, and keeps the meaning", () => {
  const identity: Rule = {
    name: "identity",
    ops: ["Identity"],
    match: (n) => ({ remove: [n], redirect: [n.outputs[0]!, n.inputs[0]!] }),
  };
  const pair: Rule = {
    name: "relu-relu",
    ops: ["Relu"],
    match(n, view, ctx) {
      const before = view.producer(n.inputs[0]!);
      if (before?.op !== "Relu") return undefined;
      const w = ctx.weight("slope", tensor("float32", [], [0]));
      return { remove: [n], keep: [before], add: [node("Prelu", [before.inputs[0]!, w], n.outputs)] };
    },
  };
  fc.assert(
    fc.property(tape, (t) => {
      const m = randomModel(t);
      const before = snapshot(m);
      const cleaned = rewrite(m, [identity]);
      expect(snapshot(m)).toBe(before);
      expect(verify(cleaned)).toEqual([]);
      expect(meaning(cleaned)).toEqual(meaning(m));
      expect(rewrite(cleaned, [identity])).toBe(cleaned);
      for (const view of viewOf(cleaned).graphs)
        for (const n of view.graph.nodes)
          if (n.op === "Identity") {
            expect(view.isOutput(n.outputs[0]!)).toBe(true);
            expect(view.producer(n.inputs[0]!) === undefined || view.isOutput(n.inputs[0]!)).toBe(true);
          }
      const fused = rewrite(m, [identity, pair]);
      expect(verify(fused)).toEqual([]);
      expectTrueIndex(fused);
    }),
    { numRuns: 300 },
  );
});
