import { describe, expect, test } from "vitest";
import {
  attr,
  edit,
  type GraphView,
  graph,
  model,
  node,
  tensor,
  value,
  verify,
  viewOf,
  type WeightSelection,
  weightsOf,
} from "./index.ts";
import { parse } from "./parse.ts";
import { print } from "./print.ts";

const code = (expected: string) => expect.objectContaining({ code: expected });
const small = () =>
  parse(`main (x: float32[2], c: bool) => (y) {
    w: float32[2] = {1, 2}
    a = Add(x, w) # add
    b = Relu(a)
    y = If<then_branch=yes () => (t) { t = Neg(a) }, else_branch=no () => (e) { e = Mul(b, b) }>(c)
  }`);
const at = (m: ReturnType<typeof small>, name: string) => viewOf(m).main.producer(name)!;

describe("nothing changed is the same object", () => {
  const m = small();
  test.each<[string, Parameters<typeof edit>[1]]>([
    ["no call", () => {}],
    ["a node by itself", (e) => e.replace(at(m, "a"), [at(m, "a")])],
    ["no nodes", (e) => e.insert(e.view.main, [])],
    ["the same weight", (e) => [...e.weights()].map((w) => e.setWeight(w, w.tensor))],
    ["the same input", (e) => e.setInput(e.view.main.uses("a")[0]!, "a")],
    ["a value by itself", (e) => e.replaceValue(e.view.main, "a", "a")],
    ["a weight that is not there", (e) => e.removeWeight(e.view.main, "nothing")],
    ["the same parts", (e) => (e.setGraph(e.view.main, { name: m.graph.name }), e.setModel({ opsets: m.opsets }))],
    ["a name that is not used", (e) => e.fresh("a")],
  ])("%s", (_, change) => expect(edit(m, change)).toBe(m));

  test("a type that is equal to the known one", () => {
    const typed = edit(m, (e) => e.setType(e.view.main, value("a", "float32", ["N"])));
    expect(typed).not.toBe(m);
    expect(edit(typed, (e) => e.setType(e.view.main, value("a", "float32", ["N"])))).toBe(typed);
  });
});

test("what is not touched stays the same object", () => {
  const m = small();
  const made = edit(m, (e) => e.replace(at(m, "b"), [node("Sigmoid", ["a"], ["b"])]));
  expect(made.graph.weights).toBe(m.graph.weights);
  expect(made.graph.nodes[0]).toBe(m.graph.nodes[0]);
  expect(made.graph.nodes[2]).toBe(m.graph.nodes[2]);
});

describe("replaceValue", () => {
  test("reaches into branches, and leaves alone the nodes that the batch adds", () => {
    const m = small();
    const made = edit(m, (e) => {
      const q = e.fresh("q");
      expect(e.replaceValue(e.view.main, "a", q)).toBe(true);
      e.insert(e.view.main, [node("Quantize", ["a"], [q])]);
    });
    expect(print(made)).toContain("q = Quantize(a)");
    expect(print(made)).toContain("b = Relu(q)");
    expect(print(made)).toContain("t = Neg(q)");
  });

  test("follows to added nodes and to branches inside them where nothing writes the old value any more", () => {
    const m = small();
    const branch = graph({ outputs: [{ name: "n" }], nodes: [node("Neg", ["a"], ["n"])] });
    const made = edit(m, (e) => {
      e.replace(at(m, "b"), [
        node("If", ["c"], ["b"], {
          then_branch: attr.graph(branch),
          else_branch: attr.graph({ ...branch, name: "other" }),
        }),
      ]);
      e.replaceValue(e.view.main, "a", "x");
      e.replace(at(m, "a"), []);
    });
    expect(verify(made)).toEqual([]);
    expect(print(made)).toContain("n = Neg(x)");
  });

  test("renames what is written where an output is replaced", () => {
    const m = parse("main (x) => (y) { a = Relu(x)  y = Identity(a)  b = Neg(a) }");
    const made = edit(m, (e) => {
      expect(e.replaceValue(e.view.main, "y", "a")).toBe(true);
      e.replace(at(m, "y"), []);
    });
    expect(print(made).match(/\w = \w+\(\w\)/g)).toEqual(["y = Relu(x)", "b = Neg(y)"]);
  });

  test("refuses an output for an input, a weight or another output, and a second replacement", () => {
    const m = parse("main (x) => (y, z) { w: float32[1] = {1}  z = Relu(x)  y = Identity(z)  u = Neg(y) }");
    const made = edit(m, (e) => {
      for (const to of ["x", "w", "z"]) expect(e.replaceValue(e.view.main, "y", to)).toBe(false);
      expect(e.replaceValue(e.view.main, "u", "x")).toBe(true);
      expect(e.replaceValue(e.view.main, "u", "z")).toBe(false);
    });
    expect(made).toBe(m);
  });

  test("is an error where a branch has another value of that name", () => {
    const m = parse(`main (x, c) => (y) {
      a = Relu(x)
      y = If<then_branch=t () => (o) { s = Neg(a)  o = Neg(s) }, else_branch=e () => (p) { p = Neg(x) }>(c)
      s = Abs(x)
    }`);
    expect(() => edit(m, (e) => e.replaceValue(e.view.main, "a", "s"))).toThrow(code("core/shadowed"));
  });
});

test("nodes inserted anywhere are put after what they read", () => {
  const m = small();
  const made = edit(m, (e) => {
    const [f, g] = [e.fresh("f"), e.fresh("f")];
    e.insert(e.view.main, [node("Exp", [g], [f]), node("Log", ["a"], [g])], at(m, "a"));
    e.setInput(e.view.main.uses("a")[0]!, f);
  });
  expect(made.graph.nodes.map((n) => n.op)).toEqual(["Add", "Log", "Exp", "Relu", "If"]);
});

test("an input may be set beyond those that a node has", () => {
  const m = small();
  const made = edit(m, (e) => e.setInput({ view: e.view.main, node: at(m, "b"), index: 2 }, "x"));
  expect(made.graph.nodes[1]!.inputs).toEqual(["a", "", "x"]);
});

test("types of values that are gone go too, and those of values that stay do not", () => {
  const m = edit(small(), (e) => ["a", "b"].map((v) => e.setType(e.view.main, value(v, "float32"))));
  const made = edit(m, (e) => {
    e.replaceValue(e.view.main, "b", "a");
    e.replace(at(m, "b"), []);
    e.setType(e.view.main, value("y", "float32"));
  });
  expect([...made.graph.types.keys()]).toEqual(["a", "y"]);
});

describe("constants", () => {
  test("are found in initializers, Constant nodes and branches, by who reads them", () => {
    const m = parse(`main (x, c) => (y) {
      w: float32[1] = {1}
      k = Constant<value_floats=[1.0, 2.0]>()
      h = Conv(x, w, k)
      y = If<then_branch=t () => (o) { v: float32[1] = {3}  o = MatMul(h, v) }, else_branch=e () => (p) { p = Add(h, w) }>(c)
    }`);
    const names = (select?: WeightSelection) => [...weightsOf(viewOf(m), select)].map((w) => w.name);
    expect(names()).toEqual(["w", "k", "v"]);
    expect(names({ ops: ["MatMul"] })).toEqual(["v"]);
    expect(names({ ops: new Map([["Conv", [1]]]) })).toEqual(["w"]);
    expect(names({ names: (n: string) => n === "k" })).toEqual(["k"]);
    const doubled = edit(m, (e) => {
      for (const w of e.weights())
        e.setWeight(w, tensor("float32", w.tensor.shape, w.tensor.shape[0] === 2 ? [2, 4] : [6]));
    });
    expect(print(doubled)).toContain("k = Constant<value=float32[2]{2, 4}>()");
    expect(print(doubled)).toContain("v: float32[1] = {6}");
    expect(() => edit(m, (e) => [...e.weights()].map((w) => e.setWeight(w, tensor("int8", [1], [1]))))).toThrow(
      code("core/weight-type"),
    );
  });

  test("fresh names are new in all graphs, and many of one base take no longer than others", () => {
    const m = small();
    const made = edit(m, (e) => {
      expect(e.fresh("t")).toBe("t_1");
      expect(e.addWeight(e.view.main, "t", tensor("bool", [], [1]))).toBe("t_2");
      const name = e.fresh("new");
      expect(e.addWeight(e.view.main, name, tensor("bool", [], [1]))).toBe("new");
      for (let i = 0; i < 50_000; i++) e.fresh("a");
      expect(e.fresh("a")).toBe("a_50001");
    });
    expect([...made.graph.weights.keys()]).toEqual(["w", "t_2", "new"]);
  });
});

describe("a batch that cannot be is an error and changes nothing", () => {
  const m = small();
  test.each<[string, string, Parameters<typeof edit>[1]]>([
    ["a value that is read and gone", "core/undefined-value", (e) => e.replace(at(m, "a"), [])],
    ["a value that only a branch reads", "core/undefined-value", (e) => e.replace(at(m, "b"), [])],
    ["a weight that is read", "core/undefined-value", (e) => e.removeWeight(e.view.main, "w")],
    ["a value written twice", "core/duplicate-value", (e) => e.insert(e.view.main, [node("Neg", ["x"], ["a"])])],
    ["a value that an input has", "core/duplicate-value", (e) => e.insert(e.view.main, [node("Neg", ["c"], ["x"])])],
    ["a cycle", "core/cycle", (e) => e.setInput({ view: e.view.main, node: at(m, "a"), index: 0 }, "b")],
    ["a node of another model", "core/unknown-node", (e) => e.replace(node("Neg", ["x"], ["a"]), [])],
    [
      "a place in another graph",
      "core/unknown-node",
      (e) => e.insert(e.view.main, [node("Neg", ["x"], ["q"])], e.view.graphs[1]!.graph.nodes[0]),
    ],
    [
      "two replacements of a node",
      "core/edited-twice",
      (e) => [1, 2].map(() => e.replace(at(m, "b"), [node("Neg", ["a"], ["b"])])),
    ],
    [
      "an input of a replaced node",
      "core/edited-twice",
      (e) => (e.replace(at(m, "b"), [node("Neg", ["a"], ["b"])]), e.setInput(e.view.main.uses("a")[0]!, "x")),
    ],
    [
      "an output that nothing writes",
      "core/undefined-value",
      (e) => e.setGraph(e.view.main, { outputs: [{ name: "nowhere" }] }),
    ],
    [
      "a branch, new, that reads what is not there",
      "core/undefined-value",
      (e) =>
        e.insert(e.view.main, [
          node("If", ["c"], ["q"], {
            then_branch: attr.graph(graph({ outputs: [{ name: "z" }], nodes: [node("Neg", ["nowhere"], ["z"])] })),
          }),
        ]),
    ],
    [
      "a function that reads what is not there",
      "core/undefined-value",
      (e) =>
        e.setModel({
          functions: [
            {
              domain: "f",
              name: "F",
              overload: "",
              attributes: [],
              defaults: new Map(),
              opsets: new Map(),
              body: graph({ outputs: [{ name: "z" }], nodes: [node("Neg", ["x"], ["z"])] }),
            },
          ],
        }),
    ],
  ])("%s", (_, expected, change) => {
    const before = print(m);
    expect(() => edit(m, change)).toThrow(code(expected));
    expect(print(m)).toBe(before);
    expect(viewOf(m).main.uses("a")).toHaveLength(2);
    expect(verify(m)).toEqual([]);
  });
});

test("a graph object that stands in several places is edited as one", () => {
  const shared = graph({
    outputs: [{ name: "o" }],
    nodes: [node("Identity", ["x"], ["i"]), node("Neg", ["i"], ["o"])],
  });
  const branches = { then_branch: attr.graph(shared), else_branch: attr.graph(shared) };
  const around = graph({ outputs: [{ name: "p" }], nodes: [node("If", ["c"], ["p"], branches)] });
  const m = model(
    graph({
      inputs: [value("x", "float32"), value("c", "bool")],
      outputs: [{ name: "y" }],
      nodes: [
        node("If", ["c"], ["y"], branches),
        node("If", ["c"], ["z"], { then_branch: attr.graph(around), else_branch: attr.graph(around) }),
      ],
    }),
  );
  expect(viewOf(m).graphs).toHaveLength(3);
  const made = edit(m, (e) => {
    const view = e.view.graphs[1] as GraphView;
    e.replaceValue(view, "i", "x");
    e.replace(view.producer("i")!, []);
  });
  expect(print(made)).not.toContain("Identity");
  expect(print(made).match(/o = Neg\(x\)/g)).toHaveLength(6);
});
