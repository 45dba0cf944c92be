import { dataOf, tensor, type Values } from "@pare/core";
import { afterEach, describe, expect, test } from "vitest";
import { accumulator } from "../test/models.ts";
import { ort } from "./index.node.ts";
import type { OrtSession } from "./options.ts";

const code = (c: string) => expect.objectContaining({ code: c });
const f = (...v: number[]) => tensor("float32", [2], v);
const numbers = (values: Values, name: string) => [...dataOf(values[name]!)].map(Number);
let session: OrtSession | undefined;
afterEach(() => session?.close());

describe.each([true, false])("isolate: %s", (isolate) => {
  const runtime = ort({ isolate });
  const state = { next: "total" };

  test("an output becomes the next run's input", async () => {
    const initial = f(10, 20);
    session = await runtime.prepare(accumulator(), { state, initialState: { total: initial } });
    const seen: number[][] = [];
    for (let i = 1; i <= 6; i++) seen.push(numbers(await session.run({ x: f(i, 1) }), "next"));
    expect(seen).toEqual([
      [11, 21],
      [13, 22],
      [16, 23],
      [20, 24],
      [25, 25],
      [31, 26],
    ]);
    expect([...dataOf(initial)]).toEqual([10, 20]);
    expect(Object.keys(await session.run({ x: f(0, 0) }, { outputs: ["twice"] }))).toEqual(["twice"]);
    expect(numbers(await session.run({ x: f(0, 0) }, { outputs: ["twice"] }), "twice")).toEqual([62, 52]);
  });

  test("results stay what they were while the state moves on", async () => {
    session = await runtime.prepare(accumulator(), { state, initialState: { total: f(0, 0) } });
    const results: Values[] = [];
    for (let i = 0; i < 5; i++) results.push(await session.run({ x: f(1, 2) }, i % 2 ? {} : { outputs: ["next"] }));
    expect(results.map((r) => numbers(r, "next"))).toEqual([
      [1, 2],
      [2, 4],
      [3, 6],
      [4, 8],
      [5, 10],
    ]);
  });

  test("a run that gives the value sets the state", async () => {
    session = await runtime.prepare(accumulator(), { state, initialState: { total: f(0, 0) } });
    await session.run({ x: f(1, 1) });
    expect(numbers(await session.run({ x: f(1, 1), total: f(100, 0) }), "next")).toEqual([101, 1]);
    expect(numbers(await session.run({ x: f(1, 1) }), "next")).toEqual([102, 2]);
  });

  test("without a first value it must be given once; the default of the input is one", async () => {
    session = await runtime.prepare(accumulator(), { state });
    await expect(session.run({ x: f(1, 1) })).rejects.toThrow(/missing.*total/);
    await session.run({ x: f(1, 1), total: f(0, 0) });
    expect(numbers(await session.run({ x: f(1, 1) }), "next")).toEqual([2, 2]);
    await session.close();

    const m = accumulator();
    session = await runtime.prepare(
      { ...m, graph: { ...m.graph, weights: new Map([...m.graph.weights, ["total", f(5, 5)]]) } },
      { state },
    );
    expect(numbers(await session.run({ x: f(1, 1) }), "next")).toEqual([6, 6]);
    expect(numbers(await session.run({ x: f(1, 1) }), "next")).toEqual([7, 7]);
  });

  test("taps in several slices see one state, and it moves once", async () => {
    session = await runtime.prepare(accumulator(), {
      state,
      initialState: { total: f(1, 1) },
      taps: ["next", "total", "x"],
      memoryBudget: 1,
    });
    for (const total of [1, 3, 5]) {
      const values = await session.run({ x: f(2, 2) });
      expect(numbers(values, "total")).toEqual([total, total]);
      expect(numbers(values, "next")).toEqual([total + 2, total + 2]);
    }
    await expect(session.runInSlices({ x: f(2, 2) }).next()).rejects.toThrow(code("ort/state"));
  });

  test("measuring does not move it", async () => {
    session = await runtime.prepare(accumulator(), { state, initialState: { total: f(0, 0) } });
    await session.run({ x: f(1, 1) });
    await session.measure({ x: f(1, 1) }, { runs: 3 });
    expect(numbers(await session.run({ x: f(1, 1) }), "next")).toEqual([2, 2]);
  });

  test("state that the model has not is refused", async () => {
    await expect(runtime.prepare(accumulator(), { state: { nothing: "total" } })).rejects.toThrow(code("ort/state"));
    await expect(runtime.prepare(accumulator(), { state: { next: "nothing" } })).rejects.toThrow(code("ort/state"));
  });
});
