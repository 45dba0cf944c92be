import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attr, graph, model, type Node, node, samplesFrom, tensor, value } from "@pare/core";
import { optimize } from "@pare/optimize";
import { openTflite } from "@pare/tflite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { compress } from "./compress.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pare-tflite-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A convolution over an image whose batch and size are open, and a ReLU. */
const network = (op = "Relu") =>
  model(
    graph({
      inputs: [value("image", "float32", ["N", 2, "H", "W"])],
      weights: new Map([
        [
          "w",
          tensor(
            "float32",
            [3, 2, 3, 3],
            Array.from({ length: 54 }, (_, i) => Math.sin(i)),
          ),
        ],
      ]),
      nodes: [
        node("Conv", ["image", "w"], ["c"], { pads: attr.ints([1, 1, 1, 1]), strides: attr.ints([2, 2]) }),
        node(op, ["c"], ["y"]),
      ],
      outputs: [value("y", "float32")],
    }),
  );
const image = tensor(
  "float32",
  [1, 2, 6, 8],
  Array.from({ length: 96 }, (_, i) => Math.cos(i)),
);

test("writes TFLite of the shapes of the samples, verified in LiteRT against the source", async () => {
  const output = join(folder, "network.tflite");
  const result = await compress(network(), {
    passes: [],
    output,
    tflite: {},
    samples: samplesFrom([{ image }]),
    latency: { budgetMs: 10 },
  });
  expect(result.comparison!.outputs[0]).toMatchObject({ name: "y", dtypes: ["float32", "float32"] });
  expect(result.comparison!.outputs[0]!.maxAbsError).toBeLessThan(1e-5);
  expect(result.latency!.after.medianMs).toBeGreaterThan(0);
  await result.close();
  const written = await openTflite(output);
  expect(written.model.graph.inputs[0]).toMatchObject({ name: "image", type: { shape: [1, 2, 6, 8] } });
  await written.close();
});

/** The network with all but the batch known, and what more is computed of its result `y`. */
function batched(...more: readonly Node[]) {
  const { graph: g, ...rest } = network();
  const inputs = [value("image", "float32", ["N", 2, 6, 8])];
  return { ...rest, graph: { ...g, inputs, nodes: [...g.nodes, ...more], outputs: [value("z", "float32")] } };
}

const two = tensor(
  "float32",
  [2, 2, 6, 8],
  Array.from({ length: 192 }, (_, i) => Math.cos(i)),
);

test("leaves the batch open, verified for that of the samples", async () => {
  const output = join(folder, "open.tflite");
  const options = { passes: [], output, tflite: {}, samples: samplesFrom([{ image: two }]), latency: false };
  const result = await compress(batched(node("Neg", ["y"], ["z"])), options);
  expect(result.comparison!.outputs[0]!.maxAbsError).toBeLessThan(1e-5);
  expect(result.diagnostics.map((d) => d.code)).not.toContain("pare/fixed-batch");
  await result.close();
  const written = await openTflite(output);
  expect(written.model.graph.inputs[0]!.type).toMatchObject({ shape: [null, 2, 6, 8] });
  await written.close();
});

test("fixes the batch where something depends on its size, and says so", async () => {
  const output = join(folder, "fixed.tflite");
  const size = [node("Shape", ["y"], ["s"]), node("Cast", ["s"], ["t"], { to: attr.int(1) })];
  const model = batched(...size, node("Mul", ["t", "t"], ["z"]));
  for (const samples of [undefined, samplesFrom([{ image: two }])]) {
    const result = await compress(model, {
      passes: [],
      output,
      tflite: {},
      latency: false,
      ...(samples ? { samples } : {}),
    });
    expect(result.diagnostics).toContainEqual(
      expect.objectContaining({ code: "pare/fixed-batch", message: expect.stringContaining("depends on the batch") }),
    );
    await result.close();
    const written = await openTflite(output);
    expect(written.model.graph.inputs[0]!.type).toMatchObject({ shape: [samples ? 2 : 1, 2, 6, 8] });
    await written.close();
  }
});

test("converts a model in which passes find nothing to do", async () => {
  const options = { passes: [optimize()], output: join(folder, "as-it-is.tflite"), tflite: {}, latency: false };
  const result = await compress(batched(node("Neg", ["y"], ["z"])), options);
  expect(result.report.passes.every((p) => p.done.length === 0)).toBe(true);
  await result.close();
});

test("says which shape is missing", async () => {
  await expect(compress(network(), { passes: [], output: join(folder, "x.tflite"), tflite: {} })).rejects.toThrow(
    /pare\/shapes.*image/s,
  );
});

test("leaves no file where something cannot be said in TFLite", async () => {
  const output = join(folder, "refused.tflite");
  const options = { passes: [], output, tflite: {}, samples: samplesFrom([{ image }]) };
  await expect(compress(network("NonZero"), options)).rejects.toThrow(/tflite\/refused/);
  expect(existsSync(output)).toBe(false);
});
