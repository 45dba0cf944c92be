import { attr, tensor } from "@pare/core";
import { buildGraph } from "@pare/ops/build";
import * as tf from "@tensorflow/tfjs-core";
import { describe, expect, test } from "vitest";
import { tfjs } from "./index.node.ts";

/** A convolution, a loop over what it gives, and an output that is also read on. */
function mixed(turns = 3) {
  const b = buildGraph();
  const x = b.input("float32", ["N", 2, 4, 4], "x");
  const numbers = Array.from({ length: 36 }, (_, i) => Math.cos(i));
  const y = b.op("Conv", [x, b.weight(tensor("float32", [2, 2, 3, 3], numbers))], { pads: attr.ints([1, 1, 1, 1]) });
  const body = buildGraph("body_");
  const [, , carried] = [body.input("int64", []), body.input("bool", []), body.input("float32", undefined)];
  const next = body.op("Tanh", [carried!]);
  body.output(body.weight(tensor("bool", [], [1])), "bool", []);
  body.output(next, "float32");
  body.output(body.op("ReduceSum", [next], { keepdims: attr.int(0) }), "float32", []);
  const [last, sums] = b.ops("Loop", [b.weight(tensor("int64", [], [turns])), "", y], 2, {
    body: attr.graph(body.graph()),
  });
  b.output(last!, "float32");
  b.output(sums!, "float32");
  const step = b.op("Add", [b.input("float32", [], "total"), b.op("ReduceMean", [last!], { keepdims: attr.int(0) })]);
  b.output(step, "float32", []);
  return { model: b.model(), step };
}

const x = (n: number) =>
  tensor(
    "float32",
    [n, 2, 4, 4],
    Float32Array.from({ length: 32 * n }, (_, i) => Math.sin(i)),
  );

describe.each(["cpu", "wasm"])("%s", (backend) => {
  test("a run leaves what it found, a closed session nothing", async () => {
    await tfjs({ backend }).version();
    const before = tf.memory().numTensors;
    const { model, step } = mixed();
    const initialState = { total: tensor("float32", [], [0]) };
    const session = await tfjs({ backend }).prepare(model, { state: { [step]: "total" }, initialState });
    await session.run({ x: x(1) });
    const open = tf.memory().numTensors;
    for (let i = 0; i < 5; i++) await session.run({ x: x(1 + (i % 2)) });
    expect(tf.memory().numTensors).toBe(open);
    await session.measure({ x: x(1) }, { runs: 2 });
    expect(tf.memory().numTensors).toBe(open);
    await session.close();
    expect(tf.memory().numTensors).toBe(before);
  });

  test("so does a run that is aborted or fails, and the state is that before it", async () => {
    const { model, step } = mixed();
    const initialState = { total: tensor("float32", [], [2]) };
    const session = await tfjs({ backend }).prepare(model, { state: { [step]: "total" }, initialState });
    const total = async () => new Float32Array((await session.run({ x: x(1) }))[step]!.bytes.buffer)[0]!;
    const first = await total();
    const open = tf.memory().numTensors;
    const long = await tfjs({ backend }).prepare(mixed(1e9).model, { state: { [step]: "total" }, initialState });
    const stop = new AbortController();
    const run = long.run({ x: x(2) }, { signal: stop.signal });
    const reason = new Error("enough");
    setTimeout(() => stop.abort(reason), 100);
    await expect(run).rejects.toBe(reason);
    await expect(long.run({ x: x(2) }, { timeout: 100 })).rejects.toMatchObject({ code: "tfjs/timeout" });
    await long.close();
    await expect(session.run({ x: tensor("float32", [1, 2, 4], new Float32Array(8)) })).rejects.toThrow();
    expect(await total()).toBeCloseTo(2 + 2 * (first - 2), 5);
    expect(tf.memory().numTensors).toBe(open);
    await session.close();
    await expect(session.run({ x: x(1) })).rejects.toMatchObject({ code: "tfjs/closed" });
  });

  test("gradients leave nothing either", async () => {
    const b = buildGraph();
    const w = b.weight(tensor("float32", [2, 2], [1, 2, 3, 4]), "w");
    const y = b.op("Softmax", [b.op("MatMul", [b.input("float32", ["N", 2], "x"), w])]);
    b.output(y, "float32");
    const session = await tfjs({ backend }).prepare(b.model());
    const feeds = { x: tensor("float32", [1, 2], [0.1, 0.2]) };
    const upstream = { [y]: tensor("float32", [1, 2], [1, -1]) };
    await session.gradients(feeds, { upstream, by: ["x", "w"] });
    const open = tf.memory().numTensors;
    const { x: dx, w: dw } = await session.gradients(feeds, { upstream, by: ["x", "w"] });
    expect(tf.memory().numTensors).toBe(open);
    // y0 - y1 of logits a, b has the slope 2 y0 y1 along a - b.
    const [a, c] = [0.1 * 1 + 0.2 * 3, 0.1 * 2 + 0.2 * 4];
    const p = 1 / (1 + Math.exp(c - a));
    const slope = 2 * p * (1 - p);
    const expected = [slope * (1 - 2), slope * (3 - 4)];
    [...new Float32Array(dx!.bytes.buffer)].forEach((v, i) => void expect(v).toBeCloseTo(expected[i]!, 6));
    const byWeight = [0.1, -0.1, 0.2, -0.2].map((v) => v * slope);
    [...new Float32Array(dw!.bytes.buffer)].forEach((v, i) => void expect(v).toBeCloseTo(byWeight[i]!, 6));
    await session.close();
  });
});
