import { type DType, dataOf, type ResidentTensor, tensor } from "@pare/core";
import { buildGraph } from "@pare/testing";
import { lowerToTflite, operator, toCore } from "@pare/tflite";
import { describe, expect, test } from "vitest";
import { dense, endless, fileOf, graphOf, modelOf, same, value } from "../test/models.ts";
import { litert } from "./index.node.ts";

const code = (c: string) => expect.objectContaining({ code: c });
const numbers = (t: ResidentTensor | undefined) => t && Array.from(dataOf(t) as ArrayLike<number | bigint>);
const rows = (...values: number[]) => ({ x: tensor("float32", [values.length / 2, 2], values) });

describe.each([true, false])("isolate: %s", (isolate) => {
  const runtime = litert({ isolate });
  const open = async (model: Parameters<typeof fileOf>[0]) => runtime.prepareFile(await fileOf(model));

  test("computes, for any size of an open dimension, in any order", async () => {
    const session = await open(dense());
    expect(session.inputs).toEqual([{ name: "x", type: { kind: "tensor", dtype: "float32", shape: [null, 2] } }]);
    for (const n of [1, 3, 2, 7, 5, 6, 1, 3]) {
      const { y } = await session.run(rows(...Array.from({ length: n }, () => [1, -1]).flat()));
      expect(y!.shape).toEqual([n, 3]);
      expect(numbers(y)).toEqual(Array.from({ length: n }, () => [0, 0, 10]).flat());
    }
    await session.close();
  });

  test("runs models that were read into the IR", async () => {
    const session = await runtime.prepare(toCore(dense()), { taps: ["h"] });
    const out = await session.run(rows(1, -1));
    expect([numbers(out["y"]), numbers(out["h"])]).toEqual([
      [0, 0, 10],
      [-3, -7, 10],
    ]);
    await session.close();
  });

  test("inner values come in as many runs as the memory budget asks for", async () => {
    for (const memoryBudget of [1, 30, 1e6]) {
      const path = await fileOf(endless());
      const session = await runtime.prepareFile(path, { taps: ["left'"], memoryBudget, state: { "x'": "x" } });
      const start = { times: tensor("int32", [1], [3]), x: tensor("float32", [1], [1]) };
      const out = await session.run(start);
      expect([numbers(out["x'"]), numbers(out["left'"])]).toEqual([[4], [0]]);
      expect(Object.keys(await session.run(start, { outputs: ["left'"] }))).toEqual(["left'"]);
      // Both runs moved the state, once each.
      expect(numbers((await session.run({ times: start.times }))["x'"])).toEqual([7]);
      await session.close();
    }
  });

  test("what LiteRT only logs is an error: a model that cannot be prepared", async () => {
    const narrow = modelOf(
      graphOf(
        [value("x", "float32", [2, 3]), value("z", "float32", [2, 4]), value("y", "float32", [2, 3])],
        [0, 1],
        [2],
        [operator("ADD", [0, 1], [2])],
      ),
    );
    await expect(open(narrow)).rejects.toThrow(code("litert/refused"));
  });

  test("so is a run that fails, and the session goes on", async () => {
    const divide = graphOf(
      [value("x", "int32", [1]), value("z", "int32", [1]), value("y", "int32", [1])],
      [0, 1],
      [2],
      [operator("FLOOR_DIV", [0, 1], [2])],
    );
    const session = await open(modelOf(divide));
    const by = (z: number) => session.run({ x: tensor("int32", [1], [7]), z: tensor("int32", [1], [z]) });
    await expect(by(0)).rejects.toThrow(/Division by 0/);
    expect(numbers((await by(2))["y"])).toEqual([3]);
    await session.close();
  });

  test("sessions do not mix up what goes wrong in them", async () => {
    const divide = graphOf(
      [value("x", "int32", [1]), value("z", "int32", [1]), value("y", "int32", [1])],
      [0, 1],
      [2],
      [operator("FLOOR_DIV", [0, 1], [2])],
    );
    const path = await fileOf(modelOf(divide));
    const sessions = await Promise.all([1, 2, 3].map(() => runtime.prepareFile(path)));
    const results = await Promise.allSettled(
      Array.from({ length: 30 }, (_, i) =>
        sessions[i % 3]!.run({ x: tensor("int32", [1], [8]), z: tensor("int32", [1], [i % 3 === 1 ? 0 : 2]) }),
      ),
    );
    for (const [i, result] of results.entries()) expect(result.status).toBe(i % 3 === 1 ? "rejected" : "fulfilled");
    await Promise.all(sessions.map((s) => s.close()));
  });

  test("weights that stand behind the flatbuffer are found", async () => {
    const path = await fileOf(dense(), { flatbufferLimit: 1 });
    const session = await runtime.prepareFile(path);
    expect(numbers((await session.run(rows(1, -1)))["y"])).toEqual([0, 0, 10]);
    await session.close();
  });

  test("an operator that LiteRT does not have is refused, with its name", async () => {
    const custom = graphOf(
      [value("x", "float32", [1]), value("y", "float32", [1])],
      [0],
      [1],
      [{ code: { builtin: "CUSTOM", custom: "NoSuchThing" }, inputs: [0], outputs: [1] }],
    );
    await expect(open(modelOf(custom))).rejects.toThrow(/NoSuchThing/);
  });
});

describe("values", () => {
  const dtypes: DType[] = ["float32", "int32", "uint8", "int64", "bool", "int16", "int8", "float16", "uint32"];
  test.each(dtypes)("of %s go in and come out as they are", async (dtype) => {
    const session = await litert().prepareFile(await fileOf(same(dtype, [2, 3])));
    const x = tensor(dtype, [2, 3], [0, 1, 1, 0, 1, 0]);
    const { y } = await session.run({ x });
    expect([y!.dtype, y!.shape, [...y!.bytes]]).toEqual([dtype, [2, 3], [...x.bytes]]);
    await session.close();
  });

  test("scalars have no dimensions", async () => {
    const session = await litert().prepareFile(
      await fileOf(
        modelOf(graphOf([value("x", "float32", []), value("y", "float32", [])], [0], [1], [operator("EXP", [0], [1])])),
      ),
    );
    const { y } = await session.run({ x: tensor("float32", [], [1]) });
    expect(y!.shape).toEqual([]);
    expect(numbers(y)![0]).toBeCloseTo(Math.E, 5);
    await session.close();
  });

  test("state moves from run to run, and survives the end of the engine", async () => {
    const path = await fileOf(endless());
    const session = await litert().prepareFile(path, {
      state: { "x'": "x" },
      initialState: { x: tensor("float32", [1], [10]) },
    });
    const times = { times: tensor("int32", [1], [3]) };
    expect(numbers((await session.run(times))["x'"])).toEqual([13]);
    process.kill(session.pid!, "SIGKILL");
    await session.run(times).catch(() => {});
    const later = numbers((await session.run(times))["x'"])!;
    expect([16, 19]).toContain(later[0]);
    await session.close();
  });

  test("another signature is run when it is asked for", async () => {
    const model = dense();
    const second = { ...model.signatures[0]!, key: "before relu", outputs: [{ name: "before", tensor: 3 }] };
    const graph = { ...model.graphs[0]!, outputs: [3] };
    const two = {
      ...model,
      graphs: [...model.graphs, graph],
      signatures: [...model.signatures, { ...second, graph: 1 }],
    };
    const path = await fileOf(two);
    const session = await litert({ signature: "before relu" }).prepareFile(path);
    expect(numbers((await session.run(rows(1, -1)))["before"])).toEqual([-3, -7, 10]);
    await session.close();
    await expect(litert({ signature: "nope" }).prepareFile(path)).rejects.toThrow(code("litert/signature"));
  });

  test("other models are lowered, by what is given or by @pare/tflite", async () => {
    const b = buildGraph();
    b.output(b.op("Relu", [b.input("float32", ["N", 2], "x")]), "float32", ["N", 2]);
    const model = b.model();
    const shapes: unknown[] = [];
    const session = await litert({
      lower(m) {
        shapes.push(m.graph.inputs.map((v) => v.type?.kind === "tensor" && v.type.shape));
        return lowerToTflite(m).model;
      },
    }).prepare(model);
    for (const n of [1, 2, 1]) await session.run(rows(...Array.from({ length: n }, () => [1, -1]).flat()));
    expect(shapes).toEqual([[[1, 2]], [[2, 2]]]);
    await session.close();
  });

  test("bad inputs are refused, and the session goes on", async () => {
    const session = await litert().prepareFile(await fileOf(dense()));
    await expect(session.run({})).rejects.toThrow(code("litert/input"));
    await expect(session.run({ x: tensor("int32", [1, 2], [1, 2]) })).rejects.toThrow(code("litert/input"));
    await expect(session.run({ x: tensor("float32", [1, 3], [1, 2, 3]) })).rejects.toThrow(code("litert/input"));
    await expect(session.run(rows(1, 1), { outputs: ["nope"] })).rejects.toThrow(code("litert/output"));
    expect(numbers((await session.run(rows(1, 1)))["y"])).toEqual([5, 3, 0]);
    const { medianMs, timesMs } = await session.measure(rows(1, 1), { runs: 5, warmup: 1 });
    expect([timesMs.length, medianMs > 0]).toEqual([5, true]);
    await session.close();
    await session.close();
    await expect(session.run(rows(1, 1))).rejects.toThrow(code("litert/closed"));
  });
});
