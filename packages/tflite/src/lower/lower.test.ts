import { attr, graph, isPareError, model, type Node, node, type Tensor, tensor, value, verify } from "@pare/core";
import { expect, test } from "vitest";
import { lowerToTflite, tfliteExporter } from "../exporter.ts";
import { modelBytes } from "../format/files.ts";
import { litertFloat } from "../target.ts";

const image = value("image", "float32", [1, 3, 8, 8]);
const kernel = (o: number, i: number) => tensor("float32", [o, i, 3, 3], new Float32Array(o * i * 9).fill(0.1));
const conv = (x: string, w: string, y: string) => node("Conv", [x, w], [y], { pads: attr.ints([1, 1, 1, 1]) });

const modelOf = (nodes: readonly Node[], weights: Readonly<Record<string, Tensor>>, outputs: readonly string[]) =>
  model(
    graph({
      nodes,
      inputs: [image],
      outputs: outputs.map((name) => ({ name })),
      weights: new Map(Object.entries(weights)),
    }),
  );

const operatorsOf = (m: ReturnType<typeof lowerToTflite>) => m.model.graphs[0]!.operators.map((o) => o.code.builtin);

/** Two convolutions with an activation and a pooling between them. */
const network = () =>
  modelOf(
    [
      conv("image", "w0", "a"),
      node("Relu", ["a"], ["b"]),
      node("MaxPool", ["b"], ["c"], { kernel_shape: attr.ints([2, 2]), strides: attr.ints([2, 2]) }),
      conv("c", "w1", "d"),
      node("Add", ["d", "d"], ["y"]),
    ],
    { w0: kernel(4, 3), w1: kernel(4, 4) },
    ["y"],
  );

test("puts transpositions only where the model begins and ends", () => {
  const lowered = lowerToTflite(network());
  expect(operatorsOf(lowered)).toEqual(["TRANSPOSE", "CONV_2D", "MAX_POOL_2D", "CONV_2D", "ADD", "TRANSPOSE"]);
  expect(lowered.transposes.map((t) => t.elements)).toEqual([192, 64]);
});

test("needs no transposition where inputs and outputs have channels last", () => {
  const lowered = lowerToTflite(network(), { nhwc: true });
  expect(operatorsOf(lowered)).toEqual(["CONV_2D", "MAX_POOL_2D", "CONV_2D", "ADD"]);
  const [main] = lowered.model.graphs;
  expect(main!.inputs.map((i) => main!.tensors[i]!.shape)).toEqual([[1, 8, 8, 3]]);
});

test("keeps names and order of inputs and outputs in the signature", () => {
  const two = modelOf([node("Relu", ["image"], ["z"]), node("Neg", ["image"], ["a"])], {}, ["z", "a", "image"]);
  const { model: m } = lowerToTflite(two);
  expect(m.signatures[0]!.inputs.map((v) => v.name)).toEqual(["image"]);
  expect(m.signatures[0]!.outputs.map((v) => v.name)).toEqual(["z", "a", "image"]);
  // What is given is computed: no output is an input.
  expect(m.graphs[0]!.outputs).not.toContain(m.graphs[0]!.inputs[0]);
});

test("permutes the columns of weights in the place of a flattened value", () => {
  const dense = tensor("float32", [5, 256], new Float32Array(1280));
  const m = modelOf(
    [conv("image", "w", "a"), node("Flatten", ["a"], ["b"]), node("Gemm", ["b", "v"], ["y"], { transB: attr.int(1) })],
    { w: kernel(4, 3), v: dense },
    ["y"],
  );
  expect(operatorsOf(lowerToTflite(m, { nhwc: true }))).toEqual(["CONV_2D", "RESHAPE", "FULLY_CONNECTED"]);
});

test("refuses all that cannot be said at once, each with its node and reason", () => {
  const m = modelOf(
    [
      node("NonZero", ["image"], ["a"], {}, { name: "first" }),
      node("Relu", ["image"], ["b"]),
      node("LRN", ["b"], ["c"], { size: attr.int(2) }, { name: "second" }),
    ],
    {},
    ["a", "c"],
  );
  const problems = tfliteExporter.check(m);
  expect(problems.map((p) => p.location?.node)).toEqual(["first", "second"]);
  expect(problems[1]!.message).toContain("even");
  expect(() => lowerToTflite(m)).toThrow(/NonZero[\s\S]*LRN/);
});

test("says which shape is missing, and takes it", () => {
  const open = model(
    graph({
      nodes: [node("Relu", ["x"], ["y"])],
      inputs: [value("x", "float32", ["N", null])],
      outputs: [{ name: "y" }],
    }),
  );
  const [problem] = tfliteExporter.check(open);
  expect(problem).toMatchObject({ code: "tflite/open-shape", location: { value: "x" } });
  expect(problem!.hint).toContain("shapes");
  expect(lowerToTflite(open, { shapes: { x: [2, 4] } }).model.graphs[0]!.tensors[0]!.shape).toEqual([2, 4]);
});

test("stores large weights as float16 where asked", async () => {
  const wide = modelOf([conv("image", "w", "y")], { w: kernel(32, 3) }, ["y"]);
  const half = lowerToTflite(wide, { weights: "float16" });
  expect(operatorsOf(half)).toContain("DEQUANTIZE");
  const [a, b] = [await modelBytes(lowerToTflite(wide).model), await modelBytes(half.model)];
  expect(b.length).toBeLessThan(a.length - 32 * 27);
});

test("gives the same bytes for the same model", async () => {
  const [a, b] = [await modelBytes(lowerToTflite(network()).model), await modelBytes(lowerToTflite(network()).model)];
  expect(Buffer.compare(a, b)).toBe(0);
  expect(verify(network()).every((d) => d.severity !== "error" || d.code === "core/no-opset")).toBe(true);
});

test("refuses a loop of which nobody knows how many outputs it stacks", () => {
  const body = graph({
    inputs: [value("i", "int64", []), value("go", "bool", []), value("v", "float32", [1, 3, 8, 8])],
    nodes: [node("Identity", ["go"], ["on"]), node("Neg", ["v"], ["next"]), node("Identity", ["next"], ["scan"])],
    outputs: [{ name: "on" }, { name: "next" }, { name: "scan" }],
  });
  const looped = (start: string, weights: Readonly<Record<string, Tensor>>) =>
    model(
      graph({
        nodes: [node("Loop", ["count", start, "image"], ["y", "all"], { body: attr.graph(body) })],
        inputs: start === "run" ? [image, value("run", "bool", [])] : [image],
        outputs: [{ name: "y" }, { name: "all" }],
        weights: new Map(Object.entries({ count: tensor("int64", [], [3]), ...weights })),
      }),
    );
  expect(tfliteExporter.check(looped("run", {}))[0]!.message).toContain("known only when it runs");
  const fixed = lowerToTflite(looped("yes", { yes: tensor("bool", [], [1]) }));
  const [main] = fixed.model.graphs;
  expect(main!.outputs.map((i) => main!.tensors[i]!.shape)).toEqual([
    [1, 3, 8, 8],
    [3, 1, 3, 8, 8],
  ]);
});

test("throws PareErrors", () => {
  try {
    lowerToTflite(modelOf([node("NonZero", ["image"], ["y"])], {}, ["y"]));
    expect.unreachable();
  } catch (error) {
    expect(isPareError(error)).toBe(true);
  }
});

test("the target lists what is lowered", () => {
  for (const op of ["Conv", "LSTM", "Loop", "GroupNormalization", "GridSample"])
    expect(litertFloat.operators.has(op)).toBe(true);
  expect(litertFloat.operators.has("NonZero")).toBe(false);
});
