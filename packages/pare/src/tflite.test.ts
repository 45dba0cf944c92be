import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { graph, model, node, tensor, value } from "@pare/core";
import { writeOnnx } from "@pare/onnx";
import { modelBytes, operator, type TfliteModel } from "@pare/tflite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { main } from "./main.ts";

const weights = Float32Array.from({ length: 12 }, (_, i) => Math.sin(i + 1));
const transposed = Float32Array.from({ length: 12 }, (_, i) => weights[(i % 4) * 3 + Math.floor(i / 4)]!);

/** y = relu(x w), x [N, 4], y [N, 3]. */
const dense = (scale = 1): TfliteModel => ({
  graphs: [
    {
      tensors: [
        { name: "serving_default_x:0", type: "FLOAT32", shape: [1, 4], shape_signature: [-1, 4], has_rank: true },
        {
          name: "dense/kernel",
          type: "FLOAT32",
          shape: [3, 4],
          has_rank: true,
          data: tensor(
            "float32",
            [3, 4],
            transposed.map((v) => v * scale),
          ),
        },
        { name: "StatefulPartitionedCall:0", type: "FLOAT32", shape: [1, 3], shape_signature: [-1, 3], has_rank: true },
      ],
      inputs: [0],
      outputs: [2],
      operators: [operator("FULLY_CONNECTED", [0, 1, -1], [2], { fused_activation_function: "RELU" })],
    },
  ],
  signatures: [
    { key: "serving_default", graph: 0, inputs: [{ name: "x", tensor: 0 }], outputs: [{ name: "y", tensor: 2 }] },
  ],
  metadata: [],
});

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pare-tflite-test-"));
  await writeFile(join(folder, "a.tflite"), await modelBytes(dense()));
  await writeFile(join(folder, "b.tflite"), await modelBytes(dense(1.01)));
  const same = model(
    graph({
      inputs: [value("x", "float32", ["N", 4])],
      outputs: [value("y", "float32", ["N", 3])],
      nodes: [node("MatMul", ["x", "w"], ["h"]), node("Relu", ["h"], ["y"])],
      weights: new Map([["w", tensor("float32", [4, 3], weights)]]),
    }),
  );
  await writeOnnx(same, join(folder, "a.onnx"));
});
afterAll(() => rm(folder, { recursive: true }));

async function json(...argv: string[]) {
  let out = "";
  let err = "";
  const code = await main([...argv, "--json"], {
    stdout: { write: (s: string) => (out += s) },
    stderr: { write: (s: string) => (err += s) },
    signal: new AbortController().signal,
    cwd: folder,
  });
  return { code, err, document: out ? JSON.parse(out) : undefined };
}

test("inspect tells what a TFLite model is", async () => {
  const { code, document } = await json("inspect", "a.tflite");
  expect(code).toBe(0);
  expect(document).toMatchObject({
    opsets: { tflite: 3 },
    inputs: [{ name: "x", type: "float32 [?, 4]" }],
    outputs: [{ name: "y" }],
    operators: [{ op: "tflite.FULLY_CONNECTED", count: 1 }],
    parameters: 12,
    cost: { macs: 0, unknown: 1 },
  });
});

test("compare runs two TFLite models in LiteRT", async () => {
  const { code, document } = await json("compare", "a.tflite", "b.tflite");
  expect(code).toBe(0);
  expect(document.outputs[0].sqnrDb).toBeGreaterThan(39);
  expect(document.outputs[0].sqnrDb).toBeLessThan(41);
});

test("compare runs an ONNX model in ONNX Runtime against a TFLite model in LiteRT", async () => {
  const { code, document } = await json("compare", "a.onnx", "a.tflite");
  expect(code).toBe(0);
  expect(document.outputs).toMatchObject([{ name: "y" }]);
  expect(document.outputs[0].maxAbsError).toBeLessThan(1e-6);
});

test("compress refuses a TFLite model, and says what to do", async () => {
  const { code, err } = await json("compress", "a.tflite", "--int8-weights", "-o", "c.onnx");
  expect(code).not.toBe(0);
  expect(err).toContain("made from");
});
