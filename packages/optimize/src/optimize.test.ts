import {
  dataOf,
  lazyTensor,
  type Model,
  type ResidentTensor,
  run,
  type Tensor,
  tensor,
  type Values,
  value,
} from "@pare/core";
import { parse } from "@pare/core/parse";
import { print } from "@pare/core/print";
import { evaluate } from "@pare/ops/evaluate";
import { describe, expect, test } from "vitest";
import {
  fixShapes,
  foldConstants,
  fuseAffine,
  liftConstants,
  optimize,
  removeDeadCode,
  removeIdentity,
  removeInferredTypes,
  removeNotes,
  tieWeights,
} from "./index.ts";

const operators = (m: Model) => m.graph.nodes.map((n) => n.op);

/** Both models give the same on these inputs, as the evaluator computes them. */
async function sameAnswers(a: Model, b: Model, inputs: Values, tolerance = 1e-5) {
  const [x, y] = await Promise.all([evaluate(a, inputs), evaluate(b, inputs)]);
  for (const name of Object.keys(x)) {
    const [p, q] = [dataOf(x[name] as ResidentTensor<"float32">), dataOf(y[name] as ResidentTensor<"float32">)];
    p.forEach((v, i) => {
      expect(Math.abs(v - q[i]!)).toBeLessThanOrEqual(tolerance * Math.max(1, Math.abs(v)));
    });
  }
}

describe("foldConstants", () => {
  test("a chain of shape arithmetic becomes one constant, in branches too", async () => {
    const m = parse(`main (x: float32[6], c: bool) => (y) {
      a: int64[1] = {2}  b: int64[1] = {3}
      s = Concat<axis=0>(a, b)
      t = Mul(s, b)
      u = Div(t, b)
      y = If<then_branch=p () => (q) { q = Reshape(x, u) }, else_branch=e () => (r) { m: int64[2] = {-3, -2}  v = Neg(m)  r = Reshape(x, v) }>(c)
    }`);
    const { model, report } = await run([foldConstants(), removeDeadCode()], m);
    expect(print(model)).not.toMatch(/Neg|Mul|Div|Concat/);
    expect(report.passes[0]!.done).toHaveLength(4);
    const x = tensor("float32", [6], [1, 2, 3, 4, 5, 6]);
    for (const c of [0, 1]) await sameAnswers(m, model, { x, c: tensor("bool", [], [c]) });
  });

  test("what would take more bytes stays", async () => {
    const m = parse("main (x: float32[1000]) => (y) { n: int64[1] = {1000}  o = ConstantOfShape(n)  y = Add(x, o) }");
    expect((await run(foldConstants(), m)).model).toBe(m);
  });

  test("random and quantizing operators stay", async () => {
    const m = parse(`main (x: float32[2]) => (y) {
      q: int8[2] = {1, 2}  s: float32[] = {0.5}
      w = DequantizeLinear(q, s)
      r = RandomNormal<shape=[2]>()
      a = Add(w, r)
      y = Add(x, a)
    }`);
    expect((await run(foldConstants(), m)).model).toBe(m);
  });

  test("a node whose inputs do not fit stays for the runtime to report", async () => {
    const m = parse(
      "main (x: float32[2]) => (y) { a: float32[2] = {1, 2}  b: float32[3] = {1, 2, 3}  c = Add(a, b)  y = Add(x, c) }",
    );
    expect((await run(foldConstants(), m)).model).toBe(m);
  });
});

describe("removeIdentity", () => {
  test("chains go; what an output needs keeps the output's name", async () => {
    const m = parse(
      "main (x: float32[2]) => (y) { a = Identity(x)  b = Identity(a)  c = Relu(b)  d = Dropout(c)  y = Identity(d) }",
    );
    const { model } = await run(removeIdentity(), m);
    expect(print(model)).toContain("y = Relu(x)");
    expect(operators(model)).toEqual(["Relu"]);
  });

  test("a copy from input to output stays, and so does a Dropout whose mask is read", async () => {
    const m = parse("main (x: float32[2]) => (y, mask) { y = Identity(x)  z, mask = Dropout(x) }");
    expect((await run(removeIdentity(), m)).model).toBe(m);
  });
});

describe("removeDeadCode", () => {
  test("nodes and weights that nothing needs go, also what only dead branches read", async () => {
    const m = parse(`main (x: float32[2], c: bool) => (y) {
      w: float32[2] = {1, 2}  used: float32[2] = {3, 4}
      a = Add(x, w)
      b = If<then_branch=p () => (q) { q = Neg(a) }, else_branch=e () => (r) { r = Abs(a) }>(c)
      y = If<then_branch=p () => (q) { dead = Neg(x)  q = Add(x, used) }, else_branch=e () => (r) { r = Abs(x) }>(c)
    }`);
    const { model } = await run(removeDeadCode(), m);
    expect(operators(model)).toEqual(["If"]);
    expect([...model.graph.weights.keys()]).toEqual(["used"]);
    expect(print(model)).not.toContain("dead");
  });

  test("a node without outputs is there for its effect", async () => {
    const m = parse('<"": 27, "acme": 1> main (x: float32[2]) => (y) { y = Relu(x)  z = Neg(x) }');
    const log = { ...m.graph.nodes[1]!, domain: "acme", op: "Log", outputs: [] };
    const logged = { ...m, graph: { ...m.graph, nodes: [m.graph.nodes[0]!, log] } };
    expect((await run(removeDeadCode(), logged)).model).toBe(logged);
  });
});

describe("fuseAffine", () => {
  const text = (conv: string, weight: string, bias = "") => `main (x: float32[1,2,5,5]) => (y) {
      w: float32${weight} = random(1)  b: float32[4] = random(2)
      scale: float32[4] = random(3)  shift: float32[4] = random(4)  mean: float32[4] = random(5)  var: float32[4] = {0.5, 1, 2, 0.1}
      c = ${conv}(x, w${bias})
      y = BatchNormalization<epsilon=0.001>(c, scale, shift, mean, var)
    }`;
  const cases: [string, string, string?][] = [
    ["Conv", "[4,2,3,3]"],
    ["Conv", "[4,2,3,3]", ", b"],
    ["Conv<group=2>", "[4,1,3,3]", ", b"],
    ["ConvTranspose", "[2,4,3,3]", ", b"],
  ];
  test.each(cases)("%s %s%s gives the same answers", async (conv, weight, bias) => {
    const m = parse(text(conv, weight, bias));
    const { model } = await run([fuseAffine(), removeDeadCode()], m);
    expect(operators(model)).toEqual([conv.replace(/<.*/, "")]);
    const x = tensor(
      "float32",
      [1, 2, 5, 5],
      Float32Array.from({ length: 50 }, (_, i) => Math.sin(i)),
    );
    await sameAnswers(m, model, { x });
  });

  test("a convolution whose result another reads stays", async () => {
    const m = parse(text("Conv", "[4,2,3,3]").replace("=> (y)", "=> (y, c)"));
    expect((await run(fuseAffine(), m)).model).toBe(m);
  });

  test("large weights are scaled as they are read, not before", async () => {
    let reads = 0;
    const m = parse(text("Conv", "[4,2,3,3]"));
    const w = m.graph.weights.get("w") as Tensor<"float32">;
    const { bytes: _, ...rest } = w;
    const lazy = { ...rest, read: (...args: Parameters<typeof w.read>) => (reads++, w.read(...args)) };
    const weights = new Map([...m.graph.weights, ["w", lazy]]);
    await run(optimize(), { ...m, graph: { ...m.graph, weights } });
    expect(reads).toBe(0);
  });
});

describe("liftConstants", () => {
  test("Constant nodes become weights of the same name, one that is an output stays", async () => {
    const m = parse(`main (x: float32[2], c: bool) => (y, k) {
      a = Constant<value=float32[2] {1, 2}>()  k = Constant<value_float=3.0>()
      b = Add(x, a)
      y = If<then_branch=p () => (q) { d = Constant<value_ints=[2]>()  q = Expand(b, d) }, else_branch=e () => (r) { r = Neg(b) }>(c)
    }`);
    const { model, report } = await run(liftConstants(), m);
    expect(operators(model)).toEqual(["Constant", "Add", "If"]);
    expect([...model.graph.weights.keys()]).toEqual(["a"]);
    expect(report.passes[0]!.done.map((d) => d.name)).toEqual(["a", expect.stringContaining("d")]);
  });
});

describe("tieWeights", () => {
  test("equal weights of sibling branches move to the graph that both see", async () => {
    const m = parse(`main (x: float32[2], c: bool) => (y) {
      y = If<then_branch=p () => (q) { w: float32[2] = {1, 2}  q = Add(x, w) }, else_branch=e () => (r) { v: float32[2] = {1, 2}  u: float32[2] = {2, 2}  s = Mul(x, v)  r = Add(s, u) }>(c)
    }`);
    const { model } = await run(tieWeights(), m);
    expect([...model.graph.weights.keys()]).toEqual(["w_1"]);
    for (const c of [0, 1])
      await sameAnswers(m, model, { x: tensor("float32", [2], [3, 4]), c: tensor("bool", [], [c]) });
  });

  test("of large weights those are read that have another's type and size", async () => {
    const read = new Set<string>();
    const large = (name: string, shape: number[], fill: number): Tensor => {
      const bytes = new Uint8Array(4 * shape.reduce((n, d) => n * d)).fill(fill);
      return lazyTensor({
        dtype: "float32",
        shape,
        read: async ({ offset, length }) => (read.add(name), bytes.subarray(offset, offset + length)),
      });
    };
    const b = parse(
      "main (x: float32[1]) => (y) { s = Add(a, b)  t = Add(s, c)  u = Mul(t, d)  y = Mul(u, x) a: float32[1] = {0} b: float32[1] = {0} c: float32[1] = {0} d: float32[1] = {0} }",
    );
    const weights = new Map([
      ["a", large("a", [300, 100], 1)],
      ["b", large("b", [300, 100], 1)],
      ["c", large("c", [300, 100], 2)],
      ["d", large("d", [100, 1], 1)],
    ]);
    const { model } = await run(tieWeights(), { ...b, graph: { ...b.graph, weights } });
    expect([...model.graph.weights.keys()]).toEqual(["a", "c", "d"]);
    expect([...read].sort()).toEqual(["a", "b", "c"]);
  });
});

describe("fixShapes", () => {
  const m = parse(`main (x: float32[N, 3, H], z: float32[N, M]) => (y: float32[N, K]) {
    s = Shape(x)  a: int64[1] = {0}  n = Gather(s, a)  m: int64[1] = {-1}  t = Concat<axis=0>(n, m)
    y = Reshape(x, t)
  }`);

  test("symbols become numbers, outputs follow, and what depends on them can be folded", async () => {
    const { model } = await run([fixShapes({ N: 2, H: 4 }), optimize()], m);
    const shapes = [...model.graph.inputs, ...model.graph.outputs].map(
      ({ type }) => type?.kind === "tensor" && type.shape,
    );
    expect(shapes).toEqual([
      [2, 3, 4],
      [2, "M"],
      [2, 12],
    ]);
    expect(operators(model)).toEqual(["Reshape"]);
  });

  test("the shape of an input fixes its symbols everywhere", async () => {
    const { model } = await run(fixShapes({ x: [5, 3, 2] }), m);
    expect(model.graph.inputs[1]!.type).toMatchObject({ shape: [5, "M"] });
  });

  test.each([
    [{ Q: 1 }, "no input has a dimension Q: there is N, H, M"],
    [{ x: [1, 3] }, "x has 3 dimensions [N,3,H], not [1,3]"],
    [{ x: [1, 4, 2] }, "dimension 1 of x is 3, not 4"],
    [{ w: [1] }, "the model has no input w: its inputs are x, z"],
    [{ N: 3, x: [1, 3, 2] }, "N would be 3 and, by x, 1"],
  ])("%j is refused", async (sizes, message) => {
    await expect(run(fixShapes(sizes), m)).rejects.toThrow(message);
  });
});

describe("removeNotes and removeInferredTypes", () => {
  test("notes of nodes go, other fields that are not modelled stay", async () => {
    const m = parse("main (x: float32[2]) => (y) { y = Relu(x) }");
    const noted = { ...m.graph.nodes[0]!, extra: { notes: { doc_string: "trace" }, onnx: { overload: "a" } } };
    const { model } = await run(removeNotes(), { ...m, graph: { ...m.graph, nodes: [noted] } });
    expect(model.graph.nodes[0]!.extra).toEqual({ onnx: { overload: "a" } });
  });

  test("types that follow from the inputs go, those of unknown operators stay", async () => {
    const m = parse('<"": 27, "acme": 1> main (x: float32[2]) => (y) { a = Relu(x)  b = acme.Unknown(a)  y = Neg(b) }');
    const types = new Map(["a", "b"].map((name) => [name, value(name, "float32", [2])]));
    const { model } = await run(removeInferredTypes(), { ...m, graph: { ...m.graph, types } });
    expect([...model.graph.types.keys()]).toEqual(["b"]);
  });
});

describe("optimize", () => {
  test("branches whose condition follows from shapes are taken, one inside the other", async () => {
    const m = parse(`main (x: float32[2,3]) => (y) {
      s = Shape(x)  r = Size(s)  two: int64[] = {2}  c = Equal(r, two)
      y = If<then_branch=p () => (q) {
        u = Shape(x)  k: int64[1] = {1}  d = Gather(u, k)  three: int64[1] = {3}  e = Equal(d, three)  f = Squeeze(e)
        q = If<then_branch=p2 () => (q2) { q2 = Relu(x) }, else_branch=e2 () => (r2) { r2 = Abs(x) }>(f)
      }, else_branch=e () => (r3) { r3 = Neg(x) }>(c)
    }`);
    const { model } = await run(optimize(), m);
    expect(print(model)).toContain("y = Relu(x)");
    expect(operators(model)).toEqual(["Relu"]);
  });
});
