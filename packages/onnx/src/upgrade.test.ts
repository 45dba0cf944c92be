import { type DType, elementCount, IR_OPSET, isPareError, type Model, type Node, tensor, viewOf } from "@pare/core";
import { parse } from "@pare/core/parse";
import { print } from "@pare/core/print";
import { memorySink } from "@pare/io";
import { evaluate } from "@pare/ops/evaluate";
import * as ort from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { openOnnx, writeOnnx } from "./open.ts";
import { upgrade } from "./upgrade.ts";

const file = async (m: Model) => {
  const sink = memorySink();
  await writeOnnx(m, sink);
  return sink.files.get("model.onnx")!;
};

/** Values that make mistakes visible: no two alike, some negative. */
const ramp = (shape: readonly number[]) =>
  Float32Array.from({ length: elementCount(shape) }, (_, i) => ((i * 7) % 23) / 4 - 2.5);

async function answers(m: Model, inputs: Record<string, ort.Tensor>): Promise<string[]> {
  const session = await ort.InferenceSession.create(await file(m), { logSeverityLevel: 4 });
  const out = await session.run(inputs);
  await session.release();
  return session.outputNames.map((name) => `${name} [${out[name]!.dims}] ${out[name]!.data.toString()}`);
}

const model = (opset: number, header: string, body: string) => parse(`<"": ${opset}>\nmain ${header} {\n${body}\n}`);
const x34 = "(x: float32[3,4]) => (y: float32)";
const x234 = "(x: float32[2,3,4]) => (y: float32)";
const image = "(x: float32[1,2,4,6]) => (y: float32)";

const cases: readonly (readonly [what: string, opset: number, header: string, body: string])[] = [
  ["Softmax on the last axis", 11, x34, "y = Softmax<axis=1>(x)"],
  ["Softmax on an inner axis, which took all axes from there on", 11, x234, "y = Softmax<axis=1>(x)"],
  ["Softmax on the default axis", 9, x234, "y = Softmax(x)"],
  ["Softmax on axis 0", 12, x234, "y = Softmax<axis=0>(x)"],
  ["Softmax on a negative axis", 11, x234, "y = Softmax<axis=-2>(x)"],
  ["LogSoftmax", 9, x234, "y = LogSoftmax<axis=1>(x)"],
  ["Hardmax", 11, x234, "y = Hardmax<axis=1>(x)"],
  ["Clip with bounds", 6, x34, "y = Clip<min=-1.0, max=2.0>(x)"],
  ["Clip with an upper bound only", 10, x34, "y = Clip<max=1.5>(x)"],
  ["Clip without bounds", 10, x34, "y = Clip(x)"],
  ["Pad with a value", 10, x34, "y = Pad<pads=[1, 0, 0, 2], value=7.5>(x)"],
  ["Pad by reflection", 2, x34, 'y = Pad<pads=[1, 1, 1, 1], mode="reflect">(x)'],
  ["Slice", 9, x234, "y = Slice<starts=[0, 1], ends=[1, 3], axes=[0, 2]>(x)"],
  ["Slice of all axes from the end", 1, x34, "y = Slice<starts=[-2, 0], ends=[100, -1]>(x)"],
  [
    "Slice to the end",
    9,
    x234,
    "y = Slice<starts=[1, 0], ends=[9223372036854775807, 9223372036854775807], axes=[1, 2]>(x)",
  ],
  ["Squeeze and Unsqueeze", 11, x34, "a = Unsqueeze<axes=[0, 3]>(x)\ny = Squeeze<axes=[0]>(a)"],
  ["Squeeze of all axes", 11, "(x: float32[1,4,1]) => (y: float32)", "y = Squeeze(x)"],
  ["ReduceSum", 11, x234, "y = ReduceSum<axes=[1], keepdims=0>(x)"],
  ["ReduceSum of all", 12, x234, "y = ReduceSum<keepdims=1>(x)"],
  ...["L1", "L2", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare"].map(
    (kind) => [`Reduce${kind}`, 13, x234, `y = Reduce${kind}<axes=[0, -1], keepdims=0>(x)`] as const,
  ),
  ["Split by sizes", 11, x34, "y, b = Split<axis=1, split=[1, 3]>(x)"],
  ["Split into equal parts", 13, x34, "y, b = Split<axis=1>(x)"],
  ["Split of opset 2 into equal parts", 2, x34, "a, y = Split<axis=1>(x)"],
  ["TopK", 9, x34, "y, i = TopK<k=2, axis=1>(x)"],
  ["Dropout", 10, x34, "y = Dropout<ratio=0.3>(x)"],
  ["Upsample by an attribute, nearest", 8, image, 'y = Upsample<scales=[1.0, 1.0, 2.0, 3.0], mode="nearest">(x)'],
  ["Upsample by an attribute, linear", 7, image, 'y = Upsample<scales=[1.0, 1.0, 2.0, 2.0], mode="linear">(x)'],
  ["Upsample by an input", 9, image, 's: float32[4] = {1, 1, 2, 2}\ny = Upsample<mode="nearest">(x, s)'],
  ["Resize to larger, nearest", 10, image, 's: float32[4] = {1, 1, 2.5, 1.5}\ny = Resize<mode="nearest">(x, s)'],
  ["Resize to smaller, nearest", 10, image, 's: float32[4] = {1, 1, 0.6, 0.5}\ny = Resize<mode="nearest">(x, s)'],
  ["Resize, linear", 10, image, 's: float32[4] = {1, 1, 1.7, 0.6}\ny = Resize<mode="linear">(x, s)'],
  [
    "Resize of opset 11 with empty inputs",
    11,
    image,
    'e: float32[0] = {}\nz: int64[4] = {1, 2, 5, 3}\ny = Resize<mode="linear", coordinate_transformation_mode="half_pixel">(x, e, e, z)',
  ],
  [
    "Resize of opset 11 by scales",
    11,
    image,
    'e: float32[0] = {}\ns: float32[4] = {1, 1, 2, 0.5}\ny = Resize<mode="cubic">(x, e, s)',
  ],
  [
    "BatchNormalization",
    8,
    image,
    "a: float32[2] = {1, 2}\nb: float32[2] = {0.5, -1}\ny = BatchNormalization(x, a, b, b, a)",
  ],
  ["Scatter", 9, x34, "i: int64[1,2] = {1, 0}\nu: float32[1,2] = {9, 8}\ny = Scatter<axis=0>(x, i, u)"],
  [
    "RoiAlign",
    10,
    image,
    "r: float32[1,4] = {0.3, 0.2, 4.1, 3.3}\nb: int64[1] = {0}\ny = RoiAlign<output_height=2, output_width=2, sampling_ratio=2>(x, r, b)",
  ],
  [
    "GridSample",
    16,
    image,
    'g: float32[1,1,3,2] = {-0.5, 0.2, 0.3, 0.9, 1.1, -1}\ny = GridSample<mode="bicubic">(x, g)',
  ],
  ...["", "l"].map(
    (lengths) =>
      [
        `Scan over a batch${lengths && " of sequences with lengths of their own"}`,
        8,
        "(x: float32[2,3,2]) => (y: float32, z: float32)",
        `l: int64[2] = {2, 3}\ni: float32[2,2] = {1, 2, 3, 4}\ny, z = Scan<num_scan_inputs=1, directions=[1], body=b (s: float32[2], e: float32[2]) => (t: float32[2], o: float32[2]) {\nc = Clip<min=-1.0>(e)\nt = Add(s, c)\no = Mul(t, e)\n}>(${lengths || '""'}, i, x)`,
      ] as const,
  ),
  [
    "Resize of opset 11 to a pixel's half",
    11,
    image,
    'e: float32[0] = {}\nz: int64[4] = {1, 2, 5, 3}\ny = Resize<mode="nearest", nearest_mode="floor", coordinate_transformation_mode="tf_half_pixel_for_nn">(x, e, e, z)',
  ],
  ["Reshape to what is there", 5, x234, "s: int64[2] = {0, -1}\ny = Reshape(x, s)"],
  ["MatMul and Add", 7, x34, "w: float32[4,1] = {1, 2, 3, 4}\nc: float32[1] = {5}\na = MatMul(x, w)\ny = Add(a, c)"],
  [
    "LSTM",
    7,
    "(x: float32[3,1,2]) => (y: float32)",
    `w: float32[1,4,2] = {1, -1, 2, 0.5, 0.3, 1, 2, 1}\nr: float32[1,4,1] = {0.5, 1, -1, 2}\ny = LSTM<hidden_size=1>(x, w, r)`,
  ],
  [
    "in the branches of an If",
    10,
    x234,
    "s: float32[] = {1}\nz = ReduceMax<keepdims=0>(x)\nc = Greater(z, s)\ny = If<then_branch=t () => (p: float32) {\np = Softmax<axis=1>(x)\n}, else_branch=e () => (q: float32) {\nq = Clip<min=0.0>(x)\n}>(c)",
  ],
];

describe("the newest opset says the same, ONNX Runtime finds", () => {
  for (const [what, opset, header, body] of cases)
    test(`${what} (${opset})`, async () => {
      // ONNX Runtime starts at 7; older operators that did not change until then mean the same there.
      const old = model(Math.max(opset, 7), header, body);
      const shape = (old.graph.inputs[0]!.type as { shape: readonly number[] }).shape;
      const feeds = { x: new ort.Tensor("float32", ramp(shape), shape) };
      const source = await openOnnx(await file(old));
      expect(source.model.opsets.get("")).toBe(IR_OPSET);
      expect(await answers(source.model, feeds)).toEqual(await answers(old, feeds));
      expect(upgrade(source.model)).toBe(source.model);
    });
});

const ops = (m: Model) => m.graph.nodes.map((n) => n.op);

test("no nodes are added where the rank shows that nothing changed", () => {
  const known = model(
    9,
    "(x: float32[N,40]) => (y: float32)",
    "s: int64[3] = {0, 8, 5}\nh = Reshape(x, s)\na = Relu(h)\ny = Softmax<axis=2>(a)",
  );
  expect(ops(upgrade(known))).toEqual(["Reshape", "Relu", "Softmax"]);
  const unknown = model(9, "(x: float32) => (y: float32)", "y = Softmax<axis=2>(x)");
  expect(ops(upgrade(unknown))).toEqual(["Shape", "Flatten", "Softmax", "Reshape"]);
});

test("constants have the type of what they meet, also where it is not known", () => {
  const half = model(9, "(x: float16[2]) => (y: float16[2])", "y = Clip<min=0.0>(x)");
  const m = upgrade(half);
  expect(ops(m)).toEqual(["CastLike", "Clip"]);
  const double = upgrade(model(9, "(x: float64[2]) => (y: float64[2])", "y = Clip<min=0.0>(x)"));
  expect([...double.graph.weights.values()].map((t): DType => t.dtype)).toEqual(["float64"]);
});

test("weights stay where they are, and are the same objects", () => {
  const old = model(9, x34, "w: float32[4,2] = {1, 2, 3, 4, 5, 6, 7, 8}\na = MatMul(x, w)\ny = Clip<min=0.0>(a)");
  expect(upgrade(old).graph.weights.get("w")).toBe(old.graph.weights.get("w"));
});

test("GroupNormalization of 18, by group, gives its channels what the group had", async () => {
  const header = "(x: float32[2,4,3]) => (y: float32)";
  const norm = (opset: number, s: string, of: string) =>
    model(
      opset,
      header,
      `s: float32[${s}] = {${of}}\nb: float32[${s}] = {${of}}\ny = GroupNormalization<num_groups=2>(x, s, b)`,
    );
  const inputs = { x: tensor("float32", [2, 4, 3], ramp([2, 4, 3])) };
  const by = async (m: Model) => (await evaluate(m, inputs))["y"]!.bytes;
  expect(await by(upgrade(norm(18, "2", "1, 2")))).toEqual(await by(norm(27, "4", "1, 1, 2, 2")));
});

test("functions are upgraded from their own opset, their constants as nodes", () => {
  const main = model(27, x34, "y = Relu(x)");
  const body = model(11, "(a) => (b)", "b = ReduceSum<axes=[1]>(a)").graph;
  const f = {
    domain: "acme",
    name: "F",
    overload: "",
    attributes: [],
    defaults: new Map(),
    opsets: new Map([["", 11]]),
    body,
  };
  const m = upgrade({ ...main, functions: [f] });
  expect(m.graph).toBe(main.graph);
  expect(m.functions[0]!.opsets.get("")).toBe(IR_OPSET);
  expect(m.functions[0]!.body.nodes.map((n) => n.op)).toEqual(["Constant", "ReduceSum"]);
  expect(m.functions[0]!.body.weights.size).toBe(0);
});

describe("what cannot be converted is said", () => {
  const refused: readonly [what: string, opset: number, header: string, body: string, code: string][] = [
    [
      "CVE-2026-44512: Upsample without inputs",
      8,
      "(x: float32) => (y: float32)",
      "y = Upsample<scales=[2.0]>()",
      "onnx/adapter",
    ],
    ["CVE-2026-44512: Upsample 9 without scales", 9, image, "y = Upsample(x)", "onnx/adapter"],
    ["Upsample with too few scales", 8, image, "y = Upsample<scales=[2.0, 2.0]>(x)", "onnx/no-adapter"],
    ["Clip with too many inputs", 9, x34, "y = Clip(x, x, x, x)", "onnx/adapter"],
    ["Softmax with an axis beyond the rank", 11, x34, "y = Softmax<axis=3>(x)", "onnx/no-adapter"],
    ["Slice with lists of different length", 9, x34, "y = Slice<starts=[0], ends=[1, 2]>(x)", "onnx/adapter"],
    ["Slice without starts", 9, x34, "y = Slice<ends=[1, 2]>(x)", "onnx/no-adapter"],
    ["Pad with an odd number of pads", 9, x34, "y = Pad<pads=[1, 1, 1]>(x)", "onnx/no-adapter"],
    ["an attribute of another type", 11, x34, "y = Squeeze<axes=0>(x)", "onnx/adapter"],
    [
      "BatchNormalization in training",
      9,
      image,
      "a: float32[2] = {1, 2}\ny, m, v = BatchNormalization(x, a, a, a, a)",
      "onnx/no-adapter",
    ],
    ["a Scan of opset 8 without a body", 8, x34, "y = Scan<num_scan_inputs=1>(x)", "onnx/no-adapter"],
    ["broadcasting along an axis", 6, x34, "y = Add<broadcast=1, axis=0>(x, x)", "onnx/no-adapter"],
    ["an opset from the future", 28, x34, "y = Relu(x)", "onnx/opset"],
  ];
  for (const [what, opset, header, body, code] of refused)
    test(what, () => {
      let error: unknown;
      try {
        upgrade(model(opset, header, body), { file: "m.onnx" });
      } catch (e) {
        error = e;
      }
      expect(isPareError(error) && error.code).toBe(code);
      if (code !== "onnx/opset")
        expect(isPareError(error) && error.diagnostics[0]!.location).toMatchObject({ file: "m.onnx" });
    });
});

test("operators of other domains and of the same name are left alone", () => {
  const m = upgrade(
    parse(`<"": 11, "acme": 1>\nmain (x: float32) => (y: float32) {\n  y = acme.Softmax<axis=1>(x)\n}`),
  );
  expect(m.graph.nodes[0]).toMatchObject({ op: "Softmax", domain: "acme" } satisfies Partial<Node>);
  expect(viewOf(m).main.graph.nodes.length).toBe(1);
  expect(print(m)).toContain('<"": 27, "acme": 1>');
});
