import { type Dim, dataOf, graph, type Model, model, node, tensor, type Values, value } from "@pare/core";
import { afterEach, describe, expect, test } from "vitest";
import { convolutional, inner, linear } from "../test/models.ts";
import { ort } from "./index.node.ts";
import type { OrtSession } from "./options.ts";

const code = (c: string) => expect.objectContaining({ code: c });
let session: OrtSession | undefined;
afterEach(() => session?.close());

const image = (size: number) =>
  tensor(
    "float32",
    [1, 3, size, size],
    Float32Array.from({ length: 3 * size * size }, (_, i) => Math.cos(i * 0.37)),
  );
const bytesIn = (values: Values) =>
  new Map(Object.entries(values).map(([name, t]) => [name, Buffer.from(t.bytes).toString("base64")]));
const sizeOf = (values: Values) => Object.values(values).reduce((n, t) => n + t.byteLength, 0);

describe.each([true, false])("isolate: %s", (isolate) => {
  const runtime = ort({ isolate });

  test("taps in slices are bit for bit those of one run, and each slice keeps to the budget", async () => {
    const m = convolutional();
    const taps = inner(m);
    const x = image(24);
    session = await runtime.prepare(m, { taps });
    const whole = await session.run({ x });
    const one = [];
    for await (const slice of session.runInSlices({ x })) one.push(slice);
    expect(one).toHaveLength(1);
    await session.close();
    expect(Object.keys(whole).sort()).toEqual([...taps].sort());

    const memoryBudget = 50_000;
    session = await runtime.prepare(m, { taps, memoryBudget });
    expect(bytesIn(await session.run({ x }))).toEqual(bytesIn(whole));
    const slices = [];
    for await (const slice of session.runInSlices({ x })) {
      expect(sizeOf(slice)).toBeLessThanOrEqual(memoryBudget + 32);
      slices.push(slice);
    }
    expect(slices.length).toBeGreaterThan(4);
    expect(bytesIn(Object.assign({}, ...slices))).toEqual(bytesIn(whole));
    expect(Object.keys(slices[0]!)).toContain("y");

    // Smaller inputs take what was measured for larger ones as a bound, larger ones are measured again.
    for (const size of [8, 40]) {
      const smaller = await session.run({ x: image(size) });
      expect(smaller["act3"]?.shape).toEqual([1, 8, size, size]);
    }
  });

  test("only what is wanted is computed and returned", async () => {
    const m = convolutional();
    session = await runtime.prepare(m, { taps: inner(m) });
    const all = await session.run({ x: image(8) });
    const some = await session.run({ x: image(8) }, { outputs: ["act1", "conv0"] });
    expect(Object.keys(some).sort()).toEqual(["act1", "conv0"]);
    expect(some["act1"]?.bytes).toEqual(all["act1"]?.bytes);
    expect(Object.keys(await session.run({ x: image(8) }, { outputs: ["y"] }))).toEqual(["y"]);
    await expect(session.run({ x: image(8) }, { outputs: ["conv9"] })).rejects.toThrow(code("ort/output"));
  });

  test("inputs, weights, Constant nodes and outputs can be tapped", async () => {
    const m = linear();
    const c = tensor("float32", [3], [1, 2, 3]);
    const withConstant: Model = {
      ...m,
      graph: {
        ...m.graph,
        nodes: [
          node("Constant", [], ["c"], { value: { type: "tensor", value: c } }),
          ...m.graph.nodes.slice(0, 2),
          node("Max", ["sum", "c"], ["y"]),
        ],
      },
    };
    session = await runtime.prepare(withConstant, { taps: ["x", "w", "c", "y", "sum"] });
    const x = tensor("float32", [1, 4], [1, 2, 3, 4]);
    const values = await session.run({ x });
    expect(values["x"]?.bytes).toEqual(x.bytes);
    expect(values["w"]?.bytes).toEqual(m.graph.weights.get("w")?.bytes);
    expect(values["c"]?.bytes).toEqual(c.bytes);
    expect([...dataOf(values["y"]!)]).toEqual([...dataOf(values["sum"]!)].map((v, i) => Math.max(Number(v), i + 1)));
    expect(Object.keys(values).sort()).toEqual(["c", "sum", "w", "x", "y"]);
  });
});

test("taps of every type and rank: bool, scalars, empty and data-dependent shapes, old opsets", async () => {
  const shape: Dim[] = ["N"];
  const build = (opset: number): Model =>
    model(
      graph({
        inputs: [value("x", "float32", shape)],
        outputs: [value("y", "float32")],
        weights: new Map([["zero", tensor("float32", [], [0])]]),
        nodes: [
          node("Greater", ["x", "zero"], ["positive"]),
          node("NonZero", ["positive"], ["where"]),
          node("Cast", ["positive"], ["mask"], { to: { type: "int", value: 1 } }),
          node("ReduceSum", ["mask"], ["count"], { keepdims: { type: "int", value: 0 } }),
          node("Mul", ["mask", "count"], ["scaled"]),
          node("Add", ["scaled", "x"], ["y"]),
        ],
      }),
      { opsets: new Map([["", opset]]) },
    );
  for (const opset of [9, 17])
    for (const memoryBudget of [1, 1 << 20]) {
      session = await ort({ isolate: false }).prepare(build(opset), {
        taps: ["positive", "where", "mask", "count", "scaled"],
        memoryBudget,
      });
      const v = await session.run({ x: tensor("float32", [3], [1, -1, 2]) });
      expect([v["positive"]?.dtype, ...dataOf(v["positive"]!)]).toEqual(["bool", 1, 0, 1]);
      expect([v["where"]?.shape, [...dataOf(v["where"]!)]]).toEqual([
        [1, 2],
        [0n, 2n],
      ]);
      expect([v["count"]?.shape, [...dataOf(v["count"]!)]]).toEqual([[], [2]]);
      expect([...dataOf(v["scaled"]!)]).toEqual([2, 0, 2]);
      expect([...dataOf(v["y"]!)]).toEqual([3, -1, 4]);
      const none = await session.run({ x: tensor("float32", [3], [-1, -1, -1]) });
      expect(none["where"]?.shape).toEqual([1, 0]);
      expect((await session.run({ x: tensor("float32", [0], []) }))["scaled"]?.shape).toEqual([0]);
      await session.close();
    }
});

test("a value that is not there cannot be tapped", async () => {
  await expect(ort().prepare(linear(), { taps: ["nothing"] })).rejects.toThrow(/ort\/tap.*nothing/);
});
