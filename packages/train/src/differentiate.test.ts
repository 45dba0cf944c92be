import { attr, graph, model, node, tensor, type Values, value, viewOf } from "@pare/core";
import { parse } from "@pare/core/parse";
import { evaluate } from "@pare/ops/evaluate";
import { numbersOf } from "@pare/ops/numeric";
import { ort } from "@pare/runtime-ort";
import { describe, expect, test } from "vitest";
import { checkGradients, modelIn, valuesIn } from "./check.ts";
import { operatorChecks } from "./check-cases.ts";
import { differentiate } from "./differentiate.ts";

const code = (c: string) => expect.objectContaining({ code: c });
const random = (shape: readonly number[], seed = 1) =>
  tensor(
    "float32",
    shape,
    Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => Math.sin(12.9898 * (i + seed))),
  );
const numbers = (values: Values, name: string) => Array.from(numbersOf(values[name]!));

describe("differentiate", () => {
  test("sums what a shared weight gets from each of its uses", async () => {
    const m = parse(
      `main (x: float32[N,3]) => (loss) {
        w: float32[3,3] = …
        h = MatMul(x, w)  r = Relu(h)  y = MatMul(r, w)  t = Transpose<perm=[1,0]>(w)  z = MatMul(y, t)
        s = Mul(z, z)  loss = ReduceSum<keepdims=0>(s)
      }`,
      { weights: { w: random([3, 3]) } },
    );
    const { worst } = await checkGradients(m, { x: random([4, 3], 7) }, { loss: "loss", by: ["w", "x"] });
    expect(worst).toBeLessThan(1e-6);
  });

  test("goes through batches whose size is free", async () => {
    const m = parse(
      `main (x: float32[N,4], b: float32[N,1]) => (loss) {
        w: float32[4,2] = …  c: float32[2] = …
        h = MatMul(x, w)  y = Add(h, c)  z = Mul(y, b)  p = LogSoftmax(z)  m = ReduceMean<keepdims=0>(p)  loss = Neg(m)
      }`,
      { weights: { w: random([4, 2]), c: random([2], 3) } },
    );
    for (const n of [1, 3]) {
      const given = { x: random([n, 4], 5), b: random([n, 1], 9) };
      expect((await checkGradients(m, given, { loss: "loss", by: ["w", "c", "x", "b"] })).worst).toBeLessThan(1e-6);
    }
  });

  test("names every operator that has no gradient, at once", () => {
    const nodes = [
      node("Det", ["x"], ["a"]),
      node("Widget", ["a"], ["b"], {}, { domain: "acme", name: "odd" }),
      node("NonZero", ["x"], ["unrelated"]),
      node("ReduceSum", ["b"], ["loss"], { keepdims: attr.int(0) }),
    ];
    const m = model(
      graph({
        inputs: [value("x", "float32", [2, 2])],
        outputs: [value("loss", "float32", [])],
        nodes,
      }),
    );
    expect(() => differentiate(m, { loss: "loss", by: ["x"] })).toThrow(
      /train\/no-gradient: Det has no gradient.*\n.*train\/no-gradient: acme\.Widget has no gradient \(node odd/,
    );
    expect(() => differentiate(m, { loss: "none", by: ["x", "nothing"] })).toThrow(
      /no value none[\s\S]*no value nothing/,
    );
    expect(() => differentiate(m, { loss: "x", by: ["x"] })).toThrow(code("train/value"));
  });

  test("leaves out what the loss does not depend on", () => {
    const m = parse(
      "main (x: float32[2], u: float32[2]) => (loss, v) { v = Exp(u)  s = Mul(x, x)  loss = ReduceSum<keepdims=0>(s) }",
    );
    const { model: graded, gradients } = differentiate(m, { loss: "loss", by: ["x", "u"] });
    expect([...gradients.keys()]).toEqual(["x"]);
    expect(graded.graph.nodes.length).toBeLessThan(10);
  });

  test("passes gradients straight through quantization, and none where codes end", async () => {
    const m = parse(`main (x: float32[4]) => (loss) {
      s: float32[] = {0.5}  z: int8[] = {3}  f: float32[2,2] = {1, 2, 3, 4}  shape: int64[2] = {2, 2}
      q = QuantizeLinear(x, s, z)  r = Reshape(q, shape)  y = DequantizeLinear(r, s, z)
      p = Mul(y, f)  loss = ReduceSum<keepdims=0>(p)
    }`);
    const { model: graded, gradients } = differentiate(m, { loss: "loss", by: ["x"] });
    const x = tensor("float32", [4], [0.2, -1000, 62.1, -20]);
    const found = await evaluate(graded, { x }, { outputs: [gradients.get("x")!] });
    // 62.1 / 0.5 + 3 is 127.2, which still rounds to the last code.
    expect(numbers(found, gradients.get("x")!)).toEqual([1, 0, 3, 4]);
  });

  test("passes gradients straight through int4 codes of blocks, where they can say the value", async () => {
    const m = parse(`main (x: float32[2,5]) => (loss) {
      s: float32[2,3] = {1, 0.5, 2, 1, 1, 0.1}  z: int4[2,3] = {0, 0, 0, 4, 0, 0}
      f: float32[2,5] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
      q = QuantizeLinear<axis=1, block_size=2>(x, s, z)  y = DequantizeLinear<axis=1, block_size=2>(q, s, z)
      p = Mul(y, f)  loss = ReduceSum<keepdims=0>(p)
    }`);
    const { model: graded, gradients } = differentiate(m, { loss: "loss", by: ["x"] });
    const x = tensor("float32", [2, 5], [7.4, 8, 3.6, 4, -17, 3, 5, -9, -8.4, 0.8]);
    const found = await evaluate(graded, { x }, { outputs: [gradients.get("x")!] });
    // Codes are from -8 to 7: 8, 4 / 0.5 = 8, -17 / 2 = -8.5 (which rounds to -8), 5 + 4 = 9, -9 and 0.8 / 0.1 = 8.
    expect(numbers(found, gradients.get("x")!)).toEqual([1, 0, 3, 0, 5, 6, 0, 0, 9, 0]);
  });

  test("batch normalization in training moves its statistics and gives what the evaluator gives", async () => {
    const m = parse(
      `main (x: float32[4,2,3]) => (y, mean, variance, loss) {
        s: float32[2] = {1.5, -0.5}  b: float32[2] = {0.1, 0.2}  m: float32[2] = {0.3, -0.1}  v: float32[2] = {1, 2}
        y, mean, variance = BatchNormalization<training_mode=1, momentum=0.7>(x, s, b, m, v)
        p = Mul(y, y)  loss = ReduceSum<keepdims=0>(p)
      }`,
    );
    const { model: graded, gradients } = differentiate(m, { loss: "loss", by: ["x", "s", "b"] });
    const x = random([4, 2, 3]);
    const [before, after] = [await evaluate(m, { x }), await evaluate(graded, { x })];
    for (const name of ["y", "mean", "variance", "loss"])
      numbers(after, name).forEach((v, i) => void expect(v).toBeCloseTo(numbers(before, name)[i]!, 5));
    expect([...gradients.keys()]).toEqual(["x", "s", "b"]);
    // No engine need know its training mode.
    expect(graded.graph.nodes.some((n) => n.attributes.has("training_mode"))).toBe(false);
  });

  test("a ReLU keeps its output alone", () => {
    const m = parse(
      "main (x: float32[2,3]) => (loss) { w: float32[3,3] = {1,2,3,4,5,6,7,8,9}  h = MatMul(x, w)  r = Relu(h)  loss = ReduceSum<keepdims=0>(r) }",
    );
    const { model: graded } = differentiate(m, { loss: "loss", by: ["w"] });
    expect(
      viewOf(graded)
        .main.uses("h")
        .map((u) => u.node.op),
    ).toEqual(["Relu"]);
  });

  test("takes time in proportion to the nodes", () => {
    const chain = (count: number) =>
      model(
        graph({
          inputs: [value("v0", "float32", [4])],
          outputs: [value("loss", "float32", [])],
          nodes: [
            ...Array.from({ length: count }, (_, i) => node("Sin", [`v${i}`], [`v${i + 1}`])),
            node("ReduceSum", [`v${count}`], ["loss"], { keepdims: attr.int(0) }),
          ],
        }),
      );
    const { model: graded } = differentiate(chain(20_000), { loss: "loss", by: ["v0"] });
    expect(graded.graph.nodes.length).toBe(20_000 * 3 + 2);
  });
});

describe("gradients in ONNX Runtime in float32", () => {
  const runtime = ort({ isolate: false });
  /** Operators that this build of the engine has no kernel for, or in which it differs from the standard. */
  const lacking =
    /Could not find an implementation|NOT_IMPLEMENTED|not implemented|only support|ORT only|is not a registered|size_ % 2 == 1/i;
  /** With a scale that leaves the size as it is the engine copies, whatever the scale does to places in between. */
  const copied = "Resize mode=linear coordinate_transformation_mode=half_pixel_symmetric";
  const some = operatorChecks().filter(({ name }, i) => i % 3 === 0 && name !== copied);
  test.each(some.map((c) => [c.name, c] as const))("%s", async (_, { model: m, inputs, formulations }) => {
    let checked: Awaited<ReturnType<typeof checkGradients>>;
    try {
      checked = await checkGradients(m, inputs, { elements: 1, ...(formulations && { formulations }) });
    } catch {
      return; // Refusals are tested elsewhere.
    }
    const names = [...checked.gradients.values()];
    const wide = await evaluate(checked.model, await valuesIn("float64", inputs), { outputs: names });
    const narrow = await modelIn("float32", checked.model);
    const whole = { ...narrow, graph: { ...narrow.graph, outputs: names.map((name) => ({ name })) } };
    let session: Awaited<ReturnType<typeof runtime.prepare>>;
    try {
      session = await runtime.prepare(whole);
    } catch (error) {
      expect(String(error)).toMatch(lacking);
      return;
    }
    try {
      const found = await session.run(await valuesIn("float32", inputs));
      for (const name of names) {
        const [a, b] = [numbers(found, name), numbers(wide, name)];
        const largest = Math.max(1e-3, ...b.map(Math.abs));
        a.forEach((v, i) => void expect(Math.abs(v - b[i]!) / largest, name).toBeLessThan(2e-4));
      }
    } finally {
      await session.close();
    }
  });
});
