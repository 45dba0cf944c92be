import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DType, dataOf, graph, model, node, tensor, value } from "@pare/core";
import { stringsOf, stringTensor } from "@pare/core/strings";
import { writeOnnx } from "@pare/onnx";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { children, folders, linear } from "../test/models.ts";
import { ort } from "./index.node.ts";
import type { OrtSession } from "./options.ts";

const code = (c: string) => expect.objectContaining({ code: c });
const x = tensor("float32", [2, 4], [1, 2, 3, 4, -1, 0, 1, 0]);
let session: OrtSession | undefined;
afterEach(() => session?.close());
afterAll(() => {
  expect(folders()).toEqual([]);
  expect(children()).toEqual([]);
});

describe.each([true, false])("isolate: %s", (isolate) => {
  const runtime = ort({ isolate });

  test("runs a model as arithmetic says", async () => {
    session = await runtime.prepare(linear());
    const { y } = await session.run({ x });
    expect([y!.dtype, y!.shape]).toEqual(["float32", [2, 3]]);
    const w = dataOf(linear().graph.weights.get("w") as typeof x);
    const b = [1, -1, 0.5];
    const expected = [0, 1].flatMap((row) =>
      b.map((bias, column) => {
        let sum = bias;
        for (let k = 0; k < 4; k++) sum += Number(dataOf(x)[row * 4 + k]) * Number(w[k * 3 + column]);
        return Math.max(sum, 0);
      }),
    );
    for (const [i, v] of [...dataOf(y!)].entries()) expect(v).toBeCloseTo(expected[i]!, 5);
    expect(session.inputs).toEqual([value("x", "float32", ["N", 4])]);
    expect(session.outputs).toEqual([value("y", "float32", ["N", 3])]);
    expect(session.pid === undefined).toBe(!isolate);
    await session.close();
    await session.close();
    await expect(session.run({ x })).rejects.toThrow(code("ort/closed"));
  });

  test("runs a file as it is, and takes its inputs from the engine", async () => {
    const folder = await mkdtemp(join(tmpdir(), "pare-test-"));
    const path = join(folder, "m.onnx");
    await writeOnnx(linear(), path);
    session = await runtime.prepareFile(path);
    expect(session.inputs).toEqual([value("x", "float32", ["N", 4])]);
    const a = await session.run({ x });
    await session.close();
    session = await runtime.prepareFile(path, { taps: ["sum"] });
    const b = await session.run({ x });
    expect(b["y"]?.bytes).toEqual(a["y"]?.bytes);
    expect(b["sum"]?.shape).toEqual([2, 3]);
    await session.close();

    await writeFile(path, "this is no model");
    await expect(runtime.prepareFile(path)).rejects.toThrow(code("ort/refused"));
    await expect(runtime.prepareFile(join(folder, "none.onnx"))).rejects.toThrow(code("ort/refused"));
    await rm(folder, { recursive: true });
  });

  test("many runs at once queue up", async () => {
    session = await runtime.prepare(linear());
    const one = await session.run({ x });
    const all = await Promise.all(Array.from({ length: 10 }, () => session!.run({ x })));
    for (const result of all) expect(result["y"]?.bytes).toEqual(one["y"]?.bytes);
  });

  test("inputs are checked before they are sent, all at once", async () => {
    session = await runtime.prepare(linear());
    await expect(session.run({})).rejects.toThrow(/ort\/input.*missing.*value x/);
    await expect(session.run({ x: tensor("float64", [1, 4], [1, 2, 3, 4]) })).rejects.toThrow(/takes float32/);
    await expect(session.run({ x: tensor("float32", [4], [1, 2, 3, 4]) })).rejects.toThrow(/takes \[N, 4\]/);
    await expect(session.run({ x: tensor("float32", [1, 3], [1, 2, 3]), z: x })).rejects.toThrow(
      /no such input[\s\S]*dimension 1 of the input is 4/,
    );
    await expect(session.run({ x }, { outputs: ["sum"] })).rejects.toThrow(code("ort/output"));
    expect(Object.keys(await session.run({ x }))).toEqual(["y"]);
  });

  test("symbols must agree between inputs", async () => {
    session = await runtime.prepare(
      model(
        graph({
          inputs: [value("a", "float32", ["N", "?"]), value("b", "float32", ["?", "N"])],
          outputs: [value("y", "float32")],
          nodes: [node("MatMul", ["a", "b"], ["y"])],
        }),
        { opsets: new Map([["", 17]]) },
      ),
    );
    const a = tensor("float32", [1, 2], [1, 2]);
    await expect(session.run({ a, b: tensor("float32", [2, 3], new Float32Array(6)) })).rejects.toThrow(
      /dimension 1 of the input, N, is 3, but 1 in a/,
    );
    const { y } = await session.run({ a, b: tensor("float32", [2, 1], [3, 4]) });
    expect([...dataOf(y!)]).toEqual([11]);
    // What only the engine can know is its failure, in its words.
    await expect(session.run({ a, b: tensor("float32", [3, 1], [3, 4, 5]) })).rejects.toThrow(code("ort/failed"));
  });

  test("a default may be left out or fed", async () => {
    const m = linear();
    session = await runtime.prepare({
      ...m,
      graph: { ...m.graph, inputs: [...m.graph.inputs, value("b", "float32", [3])] },
    });
    const plain = await session.run({ x });
    const fed = await session.run({ x, b: tensor("float32", [3], [10, 10, 10]) });
    expect(Number(dataOf(fed["y"]!)[0]) - Number(dataOf(plain["y"]!)[0])).toBeGreaterThan(8);
    expect((await session.run({ x }))["y"]?.bytes).toEqual(plain["y"]?.bytes);
  });

  const through = (dtype: DType, op = "Identity") =>
    model(
      graph({
        inputs: [value("x", dtype, ["N"])],
        outputs: [value("y", dtype, ["N"])],
        nodes: [node(op, ["x"], ["y"])],
      }),
      { opsets: new Map([["", 17]]) },
    );
  test.each([
    ["float32", Float32Array.of(1.5, -2)],
    ["float64", Float64Array.of(1e300, 2)],
    ["float16", Uint16Array.of(0x3c00, 0x7bff)],
    ["int8", Int8Array.of(-128, 3)],
    ["int16", Int16Array.of(-32768, 3)],
    ["int32", Int32Array.of(-(2 ** 31), 3)],
    ["int64", BigInt64Array.of(-(2n ** 63n), 3n)],
    ["uint8", Uint8Array.of(255, 3)],
    ["uint16", Uint16Array.of(65535, 3)],
    ["uint32", Uint32Array.of(2 ** 32 - 1, 3)],
    ["uint64", BigUint64Array.of(2n ** 64n - 1n, 3n)],
    ["bool", Uint8Array.of(1, 0)],
  ] as const)("%s goes through unchanged, empty too", async (dtype, data) => {
    session = await runtime.prepare(through(dtype));
    for (const t of [tensor(dtype, [2], data), tensor(dtype, [0], [])]) {
      const { y } = await session.run({ x: t });
      expect([y!.dtype, y!.shape, y!.bytes]).toEqual([dtype, t.shape, t.bytes]);
    }
  });

  test("strings go through; those that the binding would change are refused", async () => {
    session = await runtime.prepare(through("string"));
    const { y } = await session.run({ x: stringTensor([3], ["ä", "", "long ".repeat(50)]) });
    const strings = stringsOf(y as Parameters<typeof stringsOf>[0]).map((b) => new TextDecoder().decode(b));
    expect(strings).toEqual(["ä", "", "long ".repeat(50)]);
    await expect(session.run({ x: stringTensor([1], ["a\0b"]) })).rejects.toThrow(code("ort/dtype"));
    await expect(session.run({ x: stringTensor([1], [Uint8Array.of(0xff)]) })).rejects.toThrow(code("ort/dtype"));
  });

  test("int4 inputs, which the binding of Node has not, are refused in words", async () => {
    session = await runtime.prepare(
      model(
        graph({
          inputs: [value("x", "int4", [3])],
          outputs: [value("y", "float32", [3])],
          weights: new Map([["s", tensor("float32", [], [0.5])]]),
          nodes: [node("DequantizeLinear", ["x", "s"], ["y"])],
        }),
        { opsets: new Map([["", 21]]) },
      ),
    );
    await expect(session.run({ x: tensor("int4", [3], [1, 7, 3]) })).rejects.toThrow(/ort\/dtype.*int4/);
  });

  test("bfloat16 inputs and outputs are refused in words, inside it may be used", async () => {
    await expect(runtime.prepare(through("bfloat16"))).rejects.toThrow(/ort\/dtype.*bfloat16.*Cast/);
  });
});

test("the engine that is not there is named, and how to get it", async () => {
  const none = ort({ module: "no-such-engine" });
  await expect(none.prepare(linear())).rejects.toThrow(/ort\/no-engine.*npm install no-such-engine/);
  await expect(none.version()).rejects.toThrow(code("ort/no-engine"));
  await expect(ort({ module: "no-such-engine", isolate: false }).prepare(linear())).rejects.toThrow(
    code("ort/no-engine"),
  );
  expect(() => ort({ engine: "web", isolate: true })).toThrow(code("ort/options"));
});

test("the version is the engine's", async () => {
  expect(await ort().version()).toMatch(/^1\.\d+\.\d+/);
  expect(await ort().version()).toBe(await ort({ engine: "node", isolate: false }).version());
});

test("measure gives times of the runs that were asked for", async () => {
  session = await ort({ graphOptimization: "basic" }).prepare(linear(), { threads: 1 });
  const latency = await session.measure({ x }, { runs: 5, warmup: 1 });
  expect(latency.timesMs).toHaveLength(5);
  expect(latency.minMs).toBeGreaterThan(0);
  expect(latency.medianMs).toBe([...latency.timesMs].sort((a, b) => a - b)[2]);
  expect(latency.p90Ms).toBe(Math.max(...latency.timesMs));
});
