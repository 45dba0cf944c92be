import { graph, model, tensor, value } from "@pare/core";
import { buildGraph } from "@pare/ops/build";
import * as tf from "@tensorflow/tfjs";
import { expect, test } from "vitest";
import { openEngine } from "./engine.ts";
import { tfjs } from "./index.node.ts";
import * as browser from "./index.ts";

function doubling() {
  const b = buildGraph();
  const x = b.input("float32", ["N"], "x");
  const y = b.op("Add", [x, x]);
  b.output(y, "float32", ["N"]);
  return { model: b.model(), y };
}

test("says which engine and backend it uses", async () => {
  expect(await tfjs().version()).toMatch(/^4\.\d+\.\d+ (wasm|tensorflow)$/);
  expect(await tfjs({ backend: "cpu" }).version()).toMatch(/^4\.\d+\.\d+ cpu$/);
  const session = await tfjs({ backend: "cpu" }).prepare(doubling().model);
  expect(session.backend).toBe("cpu");
  await session.close();
});

test("options that nobody knows and backends that are not there are errors", () => {
  expect(() => tfjs({ backends: "cpu" } as object)).toThrow(expect.objectContaining({ code: "tfjs/options" }));
  expect(() => tfjs({ backend: "abacus" })).toThrow(expect.objectContaining({ code: "tfjs/options" }));
});

test("without any engine the error says what became of each and what to install", async () => {
  const missing = (name: string) => ({
    name,
    backend: "cpu",
    load: () => Promise.reject(new Error(`${name} is not there`)),
  });
  const nothing = async () => {};
  const error = await openEngine({
    candidates: () => [missing("first"), missing("second")],
    loadSpare: nothing,
    loadGradients: nothing,
  }).catch((e) => e);
  expect(error.code).toBe("tfjs/no-engine");
  expect(error.message).toMatch(/first is not there.*second is not there/);
  expect(error.diagnostics[0].hint).toMatch(/npm install/);
});

test("the build for browsers runs a module that is given, and leaves the backend that was chosen", async () => {
  await tf.setBackend("cpu");
  const { model, y } = doubling();
  const x = tensor("float32", [2], [1, 2]);
  for (const runtime of [browser.tfjs({ module: tf, backend: "cpu" }), browser.tfjs({ backend: "cpu" })]) {
    const session = await runtime.prepare(model);
    expect([...new Float32Array((await session.run({ x }))[y]!.bytes.buffer)]).toEqual([2, 4]);
    await session.close();
  }
  const session = await tfjs({ backend: "wasm" }).prepare(model);
  await session.run({ x });
  expect(tf.getBackend()).toBe("cpu");
  await session.close();
  const absent = browser.tfjs({ module: tf, backend: "webgpu" });
  await expect(absent.version()).rejects.toMatchObject({ code: "tfjs/no-engine" });
});

test("a model that is not whole, and first values of a state that do not fit, are errors", async () => {
  const runtime = tfjs({ backend: "cpu" });
  const m = model(graph({ inputs: [value("x", "float32", [1])], nodes: [], outputs: [{ name: "y" }] }));
  const session = await runtime.prepare(m);
  await expect(session.run({ x: tensor("float32", [1], [1]) })).rejects.toMatchObject({ code: "tfjs/refused" });
  await session.close();
  const { model: doubled, y } = doubling();
  const initialState = { x: tensor("int64", [1], [1]) };
  await expect(runtime.prepare(doubled, { state: { [y]: "x" }, initialState })).rejects.toMatchObject({
    code: "tfjs/state",
  });
  await expect(runtime.prepare(doubled, { threads: 4 })).rejects.toMatchObject({ code: "tfjs/options" });
});
