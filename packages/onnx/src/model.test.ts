import { attribute, constantOf, isPareError, memorySource, model, type ResidentTensor, viewOf } from "@pare/core";
import { parse } from "@pare/core/parse";
import { print } from "@pare/core/print";
import { memorySink } from "@pare/io";
import { describe, expect, test } from "vitest";
import { readDocument } from "./document.ts";
import { openOnnx, writeOnnx } from "./open.ts";
import type { Message, OnnxDocument } from "./proto.ts";
import { bytesOfMessage, lengthDelimited, richDocument } from "./test/fixtures.ts";

const open = async (doc: OnnxDocument) => openOnnx(await bytesOfMessage("ModelProto", doc), { upgrade: false });
const rewritten = async (doc: OnnxDocument) => {
  const sink = memorySink();
  await writeOnnx((await open(doc)).model, sink, { externalData: false });
  return readDocument(memorySource(sink.files.get("model.onnx")!));
};
const codeFor = async (doc: OnnxDocument) => {
  const error = await open(doc).catch((e: unknown) => e);
  return isPareError(error) ? error.code : `no PareError: ${error}`;
};
const withGraph = (graph: Message<"GraphProto">, more: OnnxDocument = {}): OnnxDocument => ({
  ir_version: 8,
  opset_import: [{ version: 17 }],
  graph: { name: "g", ...graph },
  ...more,
});
const scalar = (name: string): Message<"ValueInfoProto"> => ({ name, type: { tensor_type: { elem_type: 1 } } });

describe("a model from a document", () => {
  test("has everything that the IR models", async () => {
    const { model: m, irVersion, opset, producer } = await open(richDocument());
    const text = print(m);
    for (const part of [
      "main (x: float32[N,3], flag: bool[]) => (y: float32[N,2])",
      "h = MatMul(x, w) # dense",
      "chosen = If<then_branch=then () => (then_y: float32[N,2]) {",
      "else_y = Mul(h, else_c) # else_mul",
      'y, "" = acme.Twice<ints=[1, -2, 4611686018427387904], floats=[1.5, ',
      'texts=["é", bytes[254]], mode="linear">(chosen, "")',
      "b = LeakyRelu<alpha=@float gain>(s)",
    ])
      expect(text).toContain(part);
    const { weights, sparseWeights } = m.graph;
    expect([...weights].map(([name, t]) => `${name} ${t.dtype} ${t.shape}`)).toEqual([
      "w float32 3,2",
      "bias float16 2",
      "axes int64 2",
      "words string 2",
      "nibbles int4 3",
    ]);
    expect(weights.get("bias")!.bytes).toEqual(Uint8Array.of(0, 0x3c, 0, 0xc0));
    expect(weights.get("axes")!.bytes).toEqual(new Uint8Array(BigInt64Array.of(-1n, 5n).buffer));
    expect(sparseWeights.get("sparse_w")!.shape).toEqual([2, 3]);
    expect(Object.is((attribute(m.graph.nodes[2]!, "floats", "floats") ?? [])[1], -0)).toBe(true);
    expect([irVersion, opset, producer]).toEqual([10, 21, "a trainer 1.2"]);
    expect([...m.metadata]).toEqual([
      ["license", "MIT"],
      ["__proto__", "polluted"],
    ]);
    expect([...m.functions[0]!.defaults]).toEqual([["gain", { type: "float", value: 2 }]]);
  });

  test("finds weights wherever they stand", async () => {
    const { model: m } = await open(richDocument());
    const view = viewOf(m);
    const branch = view.graphs.find((v) => v.graph.name === "else")!;
    expect([...new Float32Array(constantOf(branch, "else_c")!.bytes.slice().buffer)]).toEqual([-1, 2]);
    expect(constantOf(branch, "w")!.shape).toEqual([3, 2]);
  });

  test("gives back what the IR does not model, and again the same model", async () => {
    const doc = richDocument();
    const back = await rewritten(doc);
    const { graph, ...rest } = doc;
    const { graph: g, ...more } = back;
    const strip = (d: object) => JSON.parse(JSON.stringify(d, (_, v) => (typeof v === "bigint" ? `${v}n` : v)));
    const { functions, ...top } = rest;
    expect(strip(more)).toMatchObject(strip(top));
    expect(g!.doc_string).toBe("the graph");
    expect(g!.quantization_annotation).toEqual(graph!.quantization_annotation);
    expect(g!.metadata_props).toEqual(graph!.metadata_props);
    expect(g!.output).toEqual(graph!.output);
    expect(g!.value_info).toEqual(graph!.value_info);
    expect(g!.initializer![0]).toEqual(graph!.initializer![0]);
    expect(g!.node![0]).toEqual(graph!.node![0]);
    expect(g!.node![2]!.attribute).toEqual(graph!.node![2]!.attribute);
    const first = await open(doc);
    const second = await open(back);
    expect(print(second.model)).toBe(print(first.model));
    expect(await rewritten(back)).toEqual(back);
  });

  test("keeps training graphs, device configurations and unknown fields of every level", async () => {
    const unknown = lengthDelimited(500, [1]);
    const doc = withGraph(
      { output: [{ ...scalar("x"), unknown }], input: [scalar("x")], unknown },
      {
        training_info: [
          { algorithm: { name: "step", node: [{ op_type: "Adam" }] }, update_binding: [{ key: "a", value: "b" }] },
        ],
        configuration: [{ name: "two devices", num_devices: 2, device: ["a", "b"] }],
        unknown,
      },
    );
    expect(await rewritten(doc)).toEqual({ ...doc, producer_name: "pare" });
  });

  test("keeps denotations and odd types while the type stays", async () => {
    const type: Message<"TypeProto"> = {
      tensor_type: {
        elem_type: 1,
        shape: { dim: [{ dim_value: -1 }, { dim_param: "C", denotation: "DATA_CHANNEL" }, {}] },
      },
      denotation: "IMAGE",
    };
    const odd: Message<"TypeProto"> = { tensor_type: { elem_type: 99 } };
    const doc = withGraph({
      input: [
        { name: "x", type },
        { name: "z", type: odd },
      ],
      output: [{ name: "x", type }],
    });
    const { model: m } = await open(doc);
    expect(m.graph.inputs[0]!.type).toEqual({ kind: "tensor", dtype: "float32", shape: [null, "C", null] });
    expect(m.graph.inputs[1]!.type).toBeUndefined();
    expect((await rewritten(doc)).graph!.input).toEqual(doc.graph!.input);
    const changed = model(
      {
        ...m.graph,
        inputs: [{ ...m.graph.inputs[0]!, type: { kind: "tensor", dtype: "float16" } }, m.graph.inputs[1]!],
      },
      { opsets: m.opsets },
    );
    const sink = memorySink();
    await writeOnnx(changed, sink);
    const back = await readDocument(memorySource(sink.files.get("model.onnx")!));
    expect(back.graph!.input![0]!.type).toEqual({ tensor_type: { elem_type: 10 } });
  });

  test("of all kinds of types comes back", async () => {
    const types: Message<"TypeProto">[] = [
      { sequence_type: { elem_type: { tensor_type: { elem_type: 7, shape: { dim: [{ dim_param: "N" }] } } } } },
      { optional_type: { elem_type: { sequence_type: { elem_type: { tensor_type: { elem_type: 1 } } } } } },
      { map_type: { key_type: 7, value_type: { tensor_type: { elem_type: 1, shape: {} } } } },
      { sparse_tensor_type: { elem_type: 1, shape: { dim: [{ dim_value: 3 }] } } },
      { opaque_type: { domain: "d", name: "n" } },
      { sequence_type: {} },
    ];
    const input = types.map((type, i) => ({ name: `v${i}`, type }));
    const doc = withGraph({ input, output: [input[0]!] });
    expect((await rewritten(doc)).graph!.input).toEqual(input);
    for (const v of (await open(doc)).model.graph.inputs) expect(v.type && "extra" in v).toBe(false);
  });
});

describe("initializers that are inputs", () => {
  const doc = (ir_version: number): OnnxDocument => ({
    ...withGraph({
      input: [scalar("x"), scalar("w")],
      output: [scalar("y")],
      node: [{ input: ["x", "w"], output: ["y"], op_type: "Add" }],
      initializer: [{ name: "w", data_type: 1, raw_data: new Uint8Array(4) }],
    }),
    ir_version,
  });

  test("are constants until IR version 3, where each had to be", async () => {
    const { model: m } = await open(doc(3));
    expect(m.graph.inputs.map((v) => v.name)).toEqual(["x"]);
    expect(constantOf(viewOf(m).main, "w")).toBeDefined();
    const back = await rewritten(doc(3));
    expect(back.ir_version).toBe(8);
    expect(back.graph!.input!.map((v) => v.name)).toEqual(["x"]);
  });

  test("are defaults that a caller may replace from 4 on", async () => {
    const { model: m } = await open(doc(4));
    expect(m.graph.inputs.map((v) => v.name)).toEqual(["x", "w"]);
    expect(constantOf(viewOf(m).main, "w")).toBeUndefined();
    expect((await rewritten(doc(4))).graph!.input!.map((v) => v.name)).toEqual(["x", "w"]);
  });
});

describe("a model that cannot be", () => {
  const nodes = (...node: Message<"NodeProto">[]) => withGraph({ input: [scalar("x")], output: [scalar("y")], node });
  const relu = { input: ["x"], output: ["y"], op_type: "Relu" };
  const w = { name: "w", data_type: 1, raw_data: new Uint8Array(4) };
  const attributed = (attribute: Message<"AttributeProto">[]) => nodes({ ...relu, attribute });
  const cases: readonly [string, OnnxDocument, string][] = [
    ["is empty", {}, "onnx/no-graph"],
    ["has no operator in a node", nodes({ ...relu, op_type: "" }), "onnx/name"],
    [
      "has an attribute twice",
      attributed([
        { name: "a", type: 2, i: 1 },
        { name: "a", type: 2, i: 2 },
      ]),
      "onnx/attribute",
    ],
    ["has an attribute of no type", attributed([{ name: "a" }]), "onnx/attribute"],
    ["has an attribute of an unknown type", attributed([{ name: "a", type: 99 }]), "onnx/attribute"],
    ["has a tensor attribute without a tensor", attributed([{ name: "a", type: 4 }]), "onnx/attribute"],
    ["has two initializers of a name", withGraph({ initializer: [w, w] }), "onnx/name"],
    ["has an initializer without a name", withGraph({ initializer: [{ ...w, name: "" }] }), "onnx/name"],
    ["has an initializer that is too short", withGraph({ initializer: [{ ...w, dims: [2] }] }), "onnx/tensor-size"],
    ["reads what nobody writes", nodes({ ...relu, input: ["z"] }), "core/undefined-value"],
    ["writes a value twice", nodes(relu, relu), "core/duplicate-value"],
    ["reads its own output", nodes({ ...relu, input: ["y"] }), "core/cycle"],
    ["has an opset below 1", { ...nodes(relu), opset_import: [{ version: 0 }] }, "onnx/opset"],
    [
      "has two versions of an opset",
      { ...nodes(relu), opset_import: [{ version: 17 }, { domain: "ai.onnx", version: 18 }] },
      "onnx/opset",
    ],
  ];
  for (const [what, doc, code] of cases)
    test(what, async () => {
      expect(await codeFor(doc)).toBe(code);
    });

  test("names the node, the tensor and the file", async () => {
    const doc = nodes({
      ...relu,
      name: "act_3",
      attribute: [{ name: "value", type: 4, t: { data_type: 1, dims: [9] } }],
    });
    await expect(open(doc)).rejects.toThrow(
      /attribute value of act_3 of memory: float32 \[9\] takes 36 bytes, but there are 0/,
    );
  });
});

test("nodes out of order are put in order", async () => {
  const doc = withGraph({
    input: [scalar("x")],
    output: [scalar("y")],
    node: [
      { input: ["h"], output: ["y"], op_type: "Relu" },
      { input: ["x"], output: ["h"], op_type: "Neg" },
    ],
  });
  expect((await open(doc)).model.graph.nodes.map((n) => n.op)).toEqual(["Neg", "Relu"]);
});

test("attributes without a type, as in IR version 1, have the type of their only field", async () => {
  const doc = withGraph({
    input: [scalar("x")],
    output: [scalar("y")],
    node: [{ input: ["x"], output: ["y"], op_type: "Elu", attribute: [{ name: "alpha", f: 2 }] }],
  });
  expect(attribute((await open(doc)).model.graph.nodes[0]!, "alpha", "float")).toBe(2);
});

test("a model that was never a file is written", async () => {
  const m = parse(`<"": 17>
main (x: float32[N,2]) => (y: float32[N,2]) {
  w: float32[2] = {1.0, 2.0}
  y = Mul(x, w)
}`);
  const sink = memorySink();
  await writeOnnx(m, sink);
  const back = await openOnnx(sink.files.get("model.onnx")!, { upgrade: false });
  expect(back.producer).toBe("pare");
  expect((back.model.graph.weights.get("w") as ResidentTensor).bytes).toEqual(m.graph.weights.get("w")!.bytes);
});
