import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataOf, type ResidentTensor, tensor } from "@pare/core";
import { litert } from "@pare/runtime-litert";
import { modelBytes, operator, type TfliteModel, type TfliteTensor } from "@pare/tflite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tfliteC } from "./tflite-c.ts";

const engine = tfliteC(new URL("../dist/cases/tflite-c-child.js", import.meta.url));
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tflite-c-test-"));
});
afterAll(async () => {
  await engine.close();
  await rm(folder, { recursive: true });
});

const numbers = (t: ResidentTensor | undefined) => Array.from(dataOf(t!) as ArrayLike<number>);
const floats = (count: number, seed: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(i * seed + 1));
const value = (name: string, shape: readonly number[], more: Partial<TfliteTensor> = {}): TfliteTensor => ({
  name,
  type: "FLOAT32",
  shape,
  has_rank: true,
  ...more,
});

/** A convolution, a pool and a dense layer, for any batch. */
const network = (): TfliteModel => {
  const open = (shape: readonly number[]) => ({ shape_signature: [-1, ...shape.slice(1)] });
  const weight = (name: string, shape: readonly number[], seed: number) =>
    value(name, shape, {
      data: tensor(
        "float32",
        shape,
        floats(
          shape.reduce((a, b) => a * b, 1),
          seed,
        ),
      ),
    });
  const grown = (name: string, shape: readonly number[]) => value(name, shape, open(shape));
  return {
    graphs: [
      {
        tensors: [
          grown("image", [1, 8, 8, 3]),
          weight("kernel", [4, 3, 3, 3], 0.7),
          weight("bias", [4], 3),
          grown("conv", [1, 4, 4, 4]),
          grown("pool", [1, 2, 2, 4]),
          weight("matrix", [5, 16], 1.3),
          grown("logits", [1, 5]),
          grown("classes", [1, 5]),
        ],
        inputs: [0],
        outputs: [7, 3],
        operators: [
          operator("CONV_2D", [0, 1, 2], [3], {
            padding: "SAME",
            stride_w: 2,
            stride_h: 2,
            fused_activation_function: "RELU6",
          }),
          operator("MAX_POOL_2D", [3], [4], {
            padding: "VALID",
            stride_w: 2,
            stride_h: 2,
            filter_width: 2,
            filter_height: 2,
          }),
          operator("FULLY_CONNECTED", [4, 5, -1], [6]),
          operator("SOFTMAX", [6], [7], { beta: 1 }),
        ],
      },
    ],
    signatures: [
      {
        key: "serving_default",
        graph: 0,
        inputs: [{ name: "picture", tensor: 0 }],
        outputs: [
          { name: "features", tensor: 3 },
          { name: "probabilities", tensor: 7 },
        ],
      },
    ],
    metadata: [],
  };
};

test("two implementations of TFLite say the same of a file that we wrote, for several batches", async () => {
  const path = join(folder, "network.tflite");
  await writeFile(path, await modelBytes(network()));
  expect(await engine.version()).toMatch(/^2\./);
  const session = await litert().prepareFile(path);
  for (const batch of [1, 3]) {
    const inputs = { picture: tensor("float32", [batch, 8, 8, 3], floats(batch * 192, 0.37)) };
    const [a, b] = [await session.run(inputs), await engine.run(path, inputs)];
    expect(Object.keys(a).sort()).toEqual(Object.keys(b).sort());
    for (const name of Object.keys(a)) {
      expect(a[name]!.shape).toEqual(b[name]!.shape);
      const [x, y] = [numbers(a[name]), numbers(b[name])];
      for (const [i, v] of x.entries()) expect(Math.abs(v - y[i]!)).toBeLessThan(1e-5);
    }
    expect(b["probabilities"]!.shape).toEqual([batch, 5]);
  }
  await session.close();
});

test("a model that it refuses is an error, and the next one runs", async () => {
  const bad = network();
  const path = join(folder, "bad.tflite");
  const graph = bad.graphs[0]!;
  const wrong = graph.tensors.map((t) => (t.name === "matrix" ? { ...t, shape: [5, 4, 4] } : t));
  await writeFile(path, await modelBytes({ ...bad, graphs: [{ ...graph, tensors: wrong }] }));
  const inputs = { picture: tensor("float32", [1, 8, 8, 3], floats(192, 0.37)) };
  await expect(engine.run(path, inputs)).rejects.toMatchObject({ code: expect.stringMatching(/^tflite-c\//) });
  const good = join(folder, "good.tflite");
  await writeFile(good, await modelBytes(network()));
  expect(Object.keys(await engine.run(good, inputs))).toHaveLength(2);
});
