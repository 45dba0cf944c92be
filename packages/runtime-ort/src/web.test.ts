import { readFileSync } from "node:fs";
import { type DType, dataOf, lazyTensor, type Model, tensor, value } from "@pare/core";
import { afterEach, expect, test } from "vitest";
import { accumulator, convolutional, inner, linear } from "../test/models.ts";
import { ort } from "./index.node.ts";
import * as browser from "./index.ts";
import type { OrtSession } from "./options.ts";

const code = (c: string) => expect.objectContaining({ code: c });
const open: OrtSession[] = [];
afterEach(async () => {
  for (const s of open.splice(0)) await s.close();
});
const keep = async (session: Promise<OrtSession>) => {
  open.push(await session);
  return session;
};
const web = ort({ engine: "web", threads: 1 });

test("onnxruntime-web gives what onnxruntime-node gives, taps too", async () => {
  const m = convolutional();
  const x = tensor(
    "float32",
    [1, 3, 16, 16],
    Float32Array.from({ length: 768 }, (_, i) => Math.cos(i * 0.37)),
  );
  const taps = inner(m);
  const a = await (await keep(ort().prepare(m, { taps }))).run({ x });
  const b = await (await keep(web.prepare(m, { taps, memoryBudget: 10_000 }))).run({ x });
  expect(Object.keys(b).sort()).toEqual(Object.keys(a).sort());
  for (const [name, t] of Object.entries(a)) {
    expect(b[name]?.shape).toEqual(t.shape);
    const other = dataOf(b[name]!);
    for (const [i, v] of [...dataOf(t)].entries()) expect(Math.abs(Number(v) - Number(other[i]))).toBeLessThan(1e-4);
  }
});

test("the build for browsers runs the same engine", async () => {
  const runtime = browser.ort({ threads: 1 });
  expect(await runtime.version()).toMatch(/^1\.\d+/);
  const session = await keep(runtime.prepare(linear()));
  const x = tensor("float32", [1, 4], [1, 2, 3, 4]);
  const expected = await (await keep(ort().prepare(linear()))).run({ x });
  const { y } = await session.run({ x });
  for (const [i, v] of [...dataOf(expected["y"]!)].entries()) expect(Number(dataOf(y!)[i])).toBeCloseTo(Number(v), 5);
  await expect(session.run({})).rejects.toThrow(code("ort/input"));
  expect((await session.measure({ x }, { runs: 3, warmup: 0 })).timesMs).toHaveLength(3);
});

test("state, external data and refusals", async () => {
  const f = (...v: number[]) => tensor("float32", [2], v);
  const session = await keep(
    web.prepare(accumulator(), { state: { next: "total" }, initialState: { total: f(1, 2) } }),
  );
  for (let i = 0; i < 4; i++) await session.run({ x: f(1, 1) });
  expect([...dataOf((await session.run({ x: f(1, 1) }))["next"]!)]).toEqual([6, 7]);

  const m = linear();
  const large = (dtype: DType, count: number): Model => ({
    ...m,
    graph: {
      ...m.graph,
      outputs: [...m.graph.outputs, value("big", dtype, [count])],
      weights: new Map([
        ...m.graph.weights,
        ["big", lazyTensor({ dtype, shape: [count], read: async ({ length }) => new Uint8Array(length).fill(1) })],
      ]),
    },
  });
  const beside = await keep(web.prepare(large("uint8", 70 << 20)));
  const { big } = await beside.run({ x: tensor("float32", [1, 4], [1, 2, 3, 4]) });
  expect([big?.byteLength, big?.bytes[0], big?.bytes.at(-1)]).toEqual([70 << 20, 1, 1]);
  await expect(web.prepare(large("uint8", 2 ** 31))).rejects.toThrow(code("ort/too-large"));
});

test("the build for browsers has no engine of Node, and imports nothing of it", () => {
  expect(() => browser.ort({ engine: "node" })).toThrow(code("ort/options"));
  expect(() => browser.ort({ isolate: true })).toThrow(code("ort/options"));
  const seen = new Set<string>();
  const walk = (url: URL) => {
    if (seen.has(url.href)) return;
    seen.add(url.href);
    for (const [, from] of readFileSync(url, "utf8").matchAll(/^(?!.*hint:).*(?:from |import\()"([^"]+)"/gm)) {
      expect(from).toMatch(/^(\.\/|@pare\/(core|core\/(strings|session)|io(\/turns)?|onnx)$|onnxruntime-web$)/);
      if (from!.startsWith(".")) walk(new URL(from!, url));
    }
  };
  walk(new URL("./index.ts", import.meta.url));
  expect(seen.size).toBeGreaterThan(5);
});
