import {
  elementCount,
  IR_OPSET,
  isFloat,
  isPareError,
  type Model,
  model,
  type ResidentTensor,
  tensor,
  type Values,
  viewOf,
} from "@pare/core";
import { parse } from "@pare/core/parse";
import { memorySink } from "@pare/io";
import { type caseOf, operatorCases } from "@pare/ops/cases";
import { evaluate } from "@pare/ops/evaluate";
import { numbersOf } from "@pare/ops/numeric";
import { schemaOf } from "@pare/ops/schema";
import * as ort from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { lowerings } from "./downgrade/table.ts";
import { downgrade } from "./downgrade.ts";
import { openOnnx, writeOnnx } from "./open.ts";
import { upgrade } from "./upgrade.ts";

const targets = [13, 14, 15, 16, 17, 18, 20, 21, 22, 23, 25, 26];

/** Values that make mistakes visible: no two alike, some negative. */
const ramp = (shape: readonly number[]): ResidentTensor =>
  tensor(
    "float32",
    shape,
    Array.from({ length: elementCount(shape) }, (_, i) => ((i * 7) % 23) / 8 - 1.25),
  );
const ints = (...values: number[]): ResidentTensor => tensor("int64", [values.length], values);

function expectClose(got: Values, expected: Values, tolerance = 1e-4) {
  expect(Object.keys(got)).toEqual(Object.keys(expected));
  for (const [name, want] of Object.entries(expected)) {
    const found = got[name]!;
    expect([name, found.dtype, found.shape]).toEqual([name, want.dtype, want.shape]);
    if (!isFloat(want.dtype)) expect(Buffer.compare(found.bytes, want.bytes), name).toBe(0);
    else
      numbersOf(found).forEach((v, i) => {
        const w = numbersOf(want)[i]!;
        if (!Object.is(v, w) && !(Math.abs(v - w) <= 1e-6 + tolerance * Math.abs(w)))
          expect(v, `${name}[${i}]`).toBe(w);
      });
  }
}

/** Whether the model can be said at the opset; if so, it gives the same. */
async function same(m: Model, inputs: Values, expected: Values, opset: number): Promise<boolean> {
  let low: Model;
  try {
    low = downgrade(m, opset);
  } catch (error) {
    if (!isPareError(error)) throw error;
    expect([...new Set(error.diagnostics.map((d) => d.code))]).toEqual(["onnx/opset-too-low"]);
    return false;
  }
  expect(low.opsets.get("")).toBe(opset);
  for (const { graph } of viewOf(low).graphs)
    for (const n of graph.nodes)
      if (n.domain === "") expect(schemaOf(n.op, opset)?.deprecated, `${n.op} at ${opset}`).toBe(false);
  expectClose(await evaluate(upgrade(low), inputs), expected);
  return true;
}

/** A model of a case, whose integers after the first input are known or not. */
function modelOf({ node, inputs, outputs }: ReturnType<typeof caseOf>, known: boolean): { m: Model; given: Values } {
  const named = inputs.flatMap((t, i) =>
    t ? [{ name: `x${i}`, t, constant: known && i > 0 && t.dtype === "int64" }] : [],
  );
  const info = (name: string, t: ResidentTensor) => ({
    name,
    type: { kind: "tensor" as const, dtype: t.dtype, shape: t.shape },
  });
  const m = model({
    name: "case",
    inputs: named.filter((v) => !v.constant).map((v) => info(v.name, v.t)),
    outputs: outputs.map((t, i) => info(`y${i}`, t)),
    weights: new Map(named.filter((v) => v.constant).map((v) => [v.name, v.t])),
    nodes: [node],
    sparseWeights: new Map(),
    types: new Map(),
  });
  return { m, given: Object.fromEntries(named.filter((v) => !v.constant).map((v) => [v.name, v.t])) };
}

test("every operator case that an older opset can say gives the same there", async () => {
  for (const c of operatorCases)
    for (const known of [true, false]) {
      const { m, given } = modelOf(c, known);
      const expected = await evaluate(m, given);
      for (const opset of targets) await same(m, given, expected, opset);
    }
}, 60_000);

type TextCase = readonly [what: string, lowest: number, header: string, body: string, inputs: Values];
const x = (...shape: number[]) => ({ x: ramp(shape) });
const x34 = "(x: float32[3,4]) => (y: float32)";
const image = "(x: float32[1,2,5,6]) => (y: float32)";
const half = `h = Cast<to=16>(x)\n`;

/** What operator cases leave out, with the lowest of the targets that has words for it. */
const cases: readonly TextCase[] = [
  ["Gelu", 13, x34, "y = Gelu(x)", x(3, 4)],
  ["Gelu by tanh", 13, x34, 'y = Gelu<approximate="tanh">(x)', x(3, 4)],
  ["Swish with alpha", 13, x34, "y = Swish<alpha=1.5>(x)", x(3, 4)],
  ["Mish of bfloat16", 13, x34, `${half}m = Mish(h)\ny = Cast<to=1>(m)`, x(3, 4)],
  ["LeakyRelu of bfloat16", 13, x34, `${half}m = LeakyRelu(h)\ny = Cast<to=1>(m)`, x(3, 4)],
  ["Add of int8", 13, "(x: int8[2]) => (y: int8)", "y = Add(x, x)", { x: tensor("int8", [2], [100, -3]) }],
  [
    "ReduceMax of bool",
    13,
    "(x: bool[2]) => (y: bool)",
    "y = ReduceMax<keepdims=0>(x)",
    { x: tensor("bool", [2], [0, 1]) },
  ],
  ["Trilu with k", 13, x34, "k: int64[] = {1}\ny = Trilu<upper=0>(x, k)", x(3, 4)],
  ["Shape of some", 13, "(x: float32[N,4,2]) => (y: int64)", "y = Shape<start=-2>(x)", x(3, 4, 2)],
  [
    "CastLike",
    13,
    "(x: float32[N], z: int32[1]) => (y: int32)",
    "y = CastLike(x, z)",
    { ...x(5), z: tensor("int32", [1], [0]) },
  ],
  [
    "Reshape by symbols",
    13,
    "(x: float32[N,4]) => (y: float32)",
    "n = Shape<end=1>(x)\nm: int64[2] = {2, 2}\ns = Concat<axis=0>(n, m)\ny = Reshape<allowzero=1>(x, s)",
    x(3, 4),
  ],
  [
    "Reshape of nothing",
    13,
    "(x: float32[0,4]) => (y: float32)",
    "s: int64[3] = {2, 0, 3}\ny = Reshape<allowzero=1>(x, s)",
    x(0, 4),
  ],
  [
    "Split into unlike parts",
    13,
    "(x: float32[N,3]) => (y: float32, z: float32)",
    "y, z = Split<axis=0, num_outputs=2>(x)",
    x(5, 3),
  ],
  ["Split of a known axis", 13, x34, "y, z = Split<axis=-2, num_outputs=2>(x)", x(3, 4)],
  ["Pad of some axes", 13, x34, 'p: int64[2] = {1, 2}\na: int64[1] = {-1}\ny = Pad(x, p, "", a)', x(3, 4)],
  [
    "Pad of axes known late",
    13,
    "(x: float32[3,4], a: int64[1]) => (y: float32)",
    'p: int64[2] = {1, 2}\ny = Pad(x, p, "", a)',
    { ...x(3, 4), a: ints(-2) },
  ],
  [
    "CenterCropPad of axes",
    13,
    "(x: float32[N,5,2]) => (y: float32)",
    "s: int64[2] = {3, 4}\ny = CenterCropPad<axes=[1, -1]>(x, s)",
    x(2, 5, 2),
  ],
  [
    "Resize of axes by scales",
    13,
    image,
    's: float32[2] = {2, 0.5}\ny = Resize<axes=[2, 3], mode="linear">(x, "", s)',
    x(1, 2, 5, 6),
  ],
  [
    "Resize by a policy",
    13,
    image,
    's: int64[2] = {10, 10}\ny = Resize<axes=[2, 3], mode="nearest", keep_aspect_ratio_policy="not_smaller">(x, "", "", s)',
    x(1, 2, 5, 6),
  ],
  [
    "Resize half_pixel_symmetric",
    13,
    image,
    's: int64[4] = {1, 2, 7, 9}\ny = Resize<mode="linear", coordinate_transformation_mode="half_pixel_symmetric">(x, "", "", s)',
    x(1, 2, 5, 6),
  ],
  [
    "Resize with antialias",
    18,
    image,
    's: float32[4] = {1, 1, 0.5, 0.5}\ny = Resize<antialias=1, mode="linear">(x, "", s)',
    x(1, 2, 5, 6),
  ],
  ...["ReduceL1", "ReduceL2", "ReduceMean", "ReduceLogSumExp", "ReduceSumSquare"].map(
    (op): TextCase => [
      `${op} of axes known late`,
      13,
      "(x: float32[N,4], a: int64[M]) => (y: float32)",
      `y = ${op}<keepdims=0>(x, a)`,
      { ...x(3, 4), a: ints(-1) },
    ],
  ),
  [
    "ReduceProd of axes known late",
    18,
    "(x: float32[N,4], a: int64[M]) => (y: float32)",
    "y = ReduceProd(x, a)",
    { ...x(3, 4), a: ints(0) },
  ],
  ["ReduceL1 of no axes", 13, x34, "y = ReduceL1<noop_with_empty_axes=1>(x)", x(3, 4)],
  ["CumProd", 13, x34, "a: int64[] = {-1}\ny = CumProd<exclusive=1, reverse=1>(x, a)", x(3, 4)],
  [
    "MaxPool with ceil_mode",
    13,
    image,
    "y = MaxPool<kernel_shape=[2, 3], strides=[2, 2], pads=[0, 1, 1, 1], ceil_mode=1>(x)",
    x(1, 2, 5, 6),
  ],
  [
    "AveragePool with ceil_mode",
    13,
    image,
    "y = AveragePool<kernel_shape=[2, 3], strides=[2, 2], pads=[0, 1, 1, 1], ceil_mode=1>(x)",
    x(1, 2, 5, 6),
  ],
  [
    "AveragePool that counts its padding",
    13,
    image,
    "y = AveragePool<kernel_shape=[2, 3], strides=[2, 2], pads=[0, 1, 1, 1], ceil_mode=1, count_include_pad=1>(x)",
    x(1, 2, 5, 6),
  ],
  ["AveragePool with holes", 20, image, "y = AveragePool<kernel_shape=[2, 2], dilations=[2, 2]>(x)", x(1, 2, 5, 6)],
  [
    "LayerNormalization of float16",
    13,
    x34,
    "h = Cast<to=10>(x)\ns = CastLike(o, h)\no: float32[4] = {1, 2, 3, 4}\nn, m = LayerNormalization(h, s)\ny = Cast<to=1>(n)",
    x(3, 4),
  ],
  [
    "LayerNormalization from an axis",
    13,
    "(x: float32[N,3,4]) => (y: float32, m: float32, d: float32)",
    "s: float32[3,4] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}\ny, m, d = LayerNormalization<axis=1>(x, s, s)",
    x(2, 3, 4),
  ],
  [
    "RMSNormalization",
    13,
    "(x: float32[N,4]) => (y: float32)",
    "s: float32[4] = {1, 2, 3, 4}\ny = RMSNormalization(x, s)",
    x(3, 4),
  ],
  [
    "GroupNormalization of any size",
    13,
    "(x: float32[N,4,H,W]) => (y: float32)",
    "s: float32[4] = {1, 2, 3, 4}\ny = GroupNormalization<num_groups=2>(x, s, s)",
    x(2, 4, 2, 3),
  ],
  [
    "BatchNormalization in training",
    13,
    "(x: float32[3,2,2]) => (y: float32, m: float32, v: float32)",
    "s: float32[2] = {1, 2}\ny, m, v = BatchNormalization<training_mode=1>(x, s, s, s, s)",
    x(3, 2, 2),
  ],
  [
    "LSTM with batches first",
    13,
    "(x: float32[1,3,2]) => (y: float32, h: float32, c: float32)",
    'w: float32[1,4,2] = {1, -1, 2, 0.5, 0.3, 1, 2, 1}\nr: float32[1,4,1] = {0.5, 1, -1, 2}\ni: float32[1,1,1] = {0.5}\ny, h, c = LSTM<hidden_size=1, layout=1>(x, w, r, "", "", i)',
    x(1, 3, 2),
  ],
  [
    "QuantizeLinear to uint16",
    13,
    x34,
    "s: float32[] = {0.001}\nz: uint16[] = {30000}\nq = QuantizeLinear(x, s, z)\ny = DequantizeLinear(q, s, z)",
    x(3, 4),
  ],
  [
    "QuantizeLinear in blocks",
    13,
    "(x: float32[N,5]) => (y: float32)",
    "s: float32[3,2] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6}\nq = QuantizeLinear<axis=1, block_size=3, output_dtype=3>(x, s)\ny = DequantizeLinear<axis=1, block_size=3>(q, s)",
    x(3, 5),
  ],
  [
    "QuantizeLinear of float16",
    13,
    x34,
    "h = Cast<to=10>(x)\no: float32[] = {0.1}\ns = Cast<to=10>(o)\nq = QuantizeLinear(h, s)\nd = DequantizeLinear(q, s)\ny = Cast<to=1>(d)",
    x(3, 4),
  ],
  [
    "TensorScatter around",
    13,
    "(x: float32[2,3,2], u: float32[2,2,2], i: int64[2]) => (y: float32)",
    'y = TensorScatter<mode="circular">(x, u, i)',
    { ...x(2, 3, 2), u: ramp([2, 2, 2]), i: ints(2, 0) },
  ],
  [
    "AffineGrid",
    13,
    "(x: float32[1,2,3]) => (y: float32)",
    "s: int64[4] = {1, 1, 2, 3}\ny = AffineGrid<align_corners=1>(x, s)",
    x(1, 2, 3),
  ],
  [
    "AffineGrid of a volume",
    13,
    "(x: float32[1,3,4], s: int64[5]) => (y: float32)",
    "y = AffineGrid(x, s)",
    { ...x(1, 3, 4), s: ints(1, 1, 2, 1, 3) },
  ],
  [
    "windows",
    13,
    "(n: int64[]) => (y: float32, z: float64, w: float32)",
    "y = HannWindow(n)\nz = BlackmanWindow<periodic=0, output_datatype=11>(n)\nw = HammingWindow(n)",
    { n: tensor("int64", [], [7]) },
  ],
  [
    "GridSample by its old names",
    16,
    "(x: float32[1,1,3,3], g: float32[1,1,2,2]) => (y: float32)",
    'y = GridSample<mode="cubic">(x, g)',
    { ...x(1, 1, 3, 3), g: ramp([1, 1, 2, 2]) },
  ],
  [
    "DFT along an axis",
    17,
    "(x: float32[1,4,3,1]) => (y: float32)",
    'a: int64[] = {1}\ny = DFT(x, "", a)',
    x(1, 4, 3, 1),
  ],
  [
    "RoiAlign of old",
    13,
    image,
    'r: float32[1,4] = {0, 0, 3, 3}\nb: int64[1] = {0}\ny = RoiAlign<output_height=2, output_width=2, sampling_ratio=2, coordinate_transformation_mode="output_half_pixel">(x, r, b)',
    x(1, 2, 5, 6),
  ],
  [
    "RoiAlign",
    16,
    image,
    "r: float32[1,4] = {0, 0, 3, 3}\nb: int64[1] = {0}\ny = RoiAlign<output_height=2, output_width=2, sampling_ratio=2>(x, r, b)",
    x(1, 2, 5, 6),
  ],
  [
    "a tensor asked whether it is there",
    13,
    x34,
    "c = OptionalHasElement(x)\nf = Cast<to=1>(c)\ne = OptionalGetElement(x)\ny = Mul(e, f)",
    x(3, 4),
  ],
  [
    "SequenceMap with a Gelu inside",
    13,
    x34,
    "s = SplitToSequence<axis=0>(x)\nm = SequenceMap<body=b (e: float32[1,4], o: float32[3,4]) => (r: float32) {\ng = Gelu(e)\nr = Add(g, o)\n}>(s, x)\ny = ConcatFromSequence<axis=0>(m)",
    x(3, 4),
  ],
  [
    "the branches of an If",
    13,
    x34,
    "n = Shape(x)\nt = ReduceSum<keepdims=0>(n)\nk: int64[] = {5}\nc = Greater(t, k)\ny = If<then_branch=t () => (p: float32) {\np = Gelu(x)\n}, else_branch=e () => (q: float32) {\nq = HardSwish(x)\n}>(c)",
    x(3, 4),
  ],
  ["bits", 18, "(x: int32[2]) => (y: int32)", "y = BitwiseAnd(x, x)", { x: tensor("int32", [2], [1, 2]) }],
];

describe("what older opsets have words for gives the same in the evaluator and in ONNX Runtime", () => {
  for (const [what, lowest, header, body, inputs] of cases)
    test(`${what} (${lowest})`, async () => {
      const m = parse(`<"": ${IR_OPSET}>\nmain ${header} {\n${body}\n}`);
      const expected = await evaluate(m, inputs);
      for (const opset of targets)
        expect([opset, await same(m, inputs, expected, opset)]).toEqual([opset, opset >= lowest]);
      const low = targets.find((t) => t >= lowest)!;
      // It computes float16 in float32.
      expectClose(await runInOrt(m, inputs, low, expected), expected, 1e-3);
    });
});

/** What ONNX Runtime gives, at the lowest opset. */
async function runInOrt(m: Model, inputs: Values, opset: number, like: Values): Promise<Values> {
  const sink = memorySink();
  await writeOnnx(m, sink, { opset });
  const session = await ort.InferenceSession.create(sink.files.get("model.onnx")!, { logSeverityLevel: 4 });
  const feeds = Object.entries(inputs).map(([name, t]) => {
    const data = t.dtype === "float32" ? new Float32Array(t.bytes.slice().buffer) : dataFor(t);
    return [name, new ort.Tensor(t.dtype as "float32", data as Float32Array, t.shape)] as const;
  });
  const out = await session.run(Object.fromEntries(feeds));
  await session.release();
  return Object.fromEntries(
    Object.keys(like).map((name) => {
      const t = out[name]!;
      const { buffer, byteOffset, byteLength } = t.data as Float32Array<ArrayBuffer>;
      return [name, tensor(t.type as "float32", t.dims, new Uint8Array(buffer, byteOffset, byteLength))];
    }),
  );
}

const arrays = { int64: BigInt64Array, int32: Int32Array, int8: Int8Array, bool: Uint8Array } as const;
const dataFor = (t: ResidentTensor) => new arrays[t.dtype as keyof typeof arrays](t.bytes.slice().buffer);

test("every entry of the table is reached", () => {
  const said = [...operatorCases.map((c) => c.node.op), ...cases.map((c) => c[3])].join(" ");
  for (const op of lowerings.keys()) if (op !== "Bernoulli") expect(said).toMatch(new RegExp(`\\b${op}\\b`));
});

test("a draw of Bernoulli has the type and shape that it had", () => {
  const m = parse(`<"": 27>\nmain (x: float32[3]) => (y: bool) {\ny = Bernoulli<dtype=9, seed=1.0>(x)\n}`);
  expect(downgrade(m, 14).graph.nodes.map((n) => n.op)).toEqual(["RandomUniformLike", "Less", "Identity"]);
});

test("all that an opset has no words for is said at once, with place, reason and hint", () => {
  const m = parse(`<"": 27>
main (x: float32[2,2], c: bool[]) => (y: float32, s: string) {
  t: string[1] = {"a"}
  s = StringConcat(t, t)
  y = If<then_branch=t () => (p: float32) {
    f = Cast<to=17>(x)
    p = Cast<to=1>(f)
  }, else_branch=e () => (q: float32) {
    q = Relu(x)
  }>(c)
}`);
  let error: unknown;
  try {
    downgrade(m, 17);
  } catch (e) {
    error = e;
  }
  expect(isPareError(error) && error.diagnostics.map((d) => [d.code, d.location?.node, d.location?.op])).toEqual([
    ["onnx/opset-too-low", "s", "StringConcat"],
    ["onnx/opset-too-low", "f", "Cast"],
    ["onnx/opset-too-low", "p", "Cast"],
  ]);
  expect(String(error)).toContain("Write opset 20 or a newer one.");
  expect(() => downgrade(m, 6)).toThrow("onnx/opset");
});

test("functions of the model and other domains come along", async () => {
  const body = parse(`<"": 27>\nmain (a: float32) => (b: float32) {\nb = Gelu(a)\n}`).graph;
  const main = parse(`<"": 27, "acme": 1>\nmain (x: float32[3]) => (y: float32) {\ny = acme.F(x)\n}`);
  const f = { domain: "acme", name: "F", overload: "", attributes: [], defaults: new Map() };
  const m = { ...main, functions: [{ ...f, opsets: new Map([["", 27]]), body }] };
  const low = downgrade(m, 17);
  expect([low.opsets.get("acme"), low.functions[0]!.opsets.get("")]).toEqual([1, 17]);
  expect(low.functions[0]!.body.nodes.map((n) => n.op)).toContain("Erf");
  expect(low.functions[0]!.body.weights.size).toBe(0);
  const inputs = { x: ramp([3]) };
  expectClose(await evaluate(upgrade(low), inputs), await evaluate(m, inputs));
});

test("weights are the same objects, and the file says opset and IR version that go together", async () => {
  const m = parse(
    `<"": 27>\nmain (x: float32[3,4]) => (y: float32) {\nw: float32[4,2] = random(1)\na = MatMul(x, w)\ny = Gelu(a)\n}`,
  );
  expect(downgrade(m, 17).graph.weights.get("w")).toBe(m.graph.weights.get("w"));
  const sink = memorySink();
  await writeOnnx(m, sink, { opset: 17 });
  const back = await openOnnx(sink.files.get("model.onnx")!, { upgrade: false });
  expect([back.opset, back.irVersion]).toEqual([17, 8]);
});
