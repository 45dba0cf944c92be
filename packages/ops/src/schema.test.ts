import { attr, graph, IR_OPSET, model, node, tensor, type ValueType, value } from "@pare/core";
import { describe, expect, test } from "vitest";
import { breaks } from "./schema/breaks.ts";
import { checkNode, lowestOpset, lowestVersion, operatorNames, schemaOf, versionsOf } from "./schema.ts";

const codes = (n: ReturnType<typeof node>, version = IR_OPSET, types: Record<string, ValueType> = {}) =>
  checkNode(n, version, (v) => new Map(Object.entries(types)).get(v)).map((d) => d.code);
const of = (dtype: "float32" | "float16" | "bfloat16" | "int64" | "uint8", shape?: number[]): ValueType => ({
  kind: "tensor",
  dtype,
  ...(shape && { shape }),
});
const allFloat = () => of("float32", [1, 3, 8, 8]);

describe("schemaOf", () => {
  test("knows every operator of onnx 1.22 in every version", () => {
    expect(operatorNames()).toHaveLength(202);
    expect(operatorNames().flatMap(versionsOf)).toHaveLength(609);
    for (const op of operatorNames()) for (const v of versionsOf(op)) expect(schemaOf(op, v)!.since).toBe(v);
  });

  test("gives the version that holds", () => {
    expect(versionsOf("Softmax")).toEqual([1, 11, 13]);
    expect(schemaOf("Softmax", 12)!.since).toBe(11);
    expect(schemaOf("Softmax", 27)!.attributes.get("axis")!.default).toBe(-1);
    expect(schemaOf("Softmax", 12)!.attributes.get("axis")!.default).toBe(1);
    expect(schemaOf("Gelu", 19)).toBeUndefined();
    expect(schemaOf("NoSuch", 27)).toBeUndefined();
    expect(versionsOf("constructor")).toEqual([]);
  });

  test("says inputs, attributes and types", () => {
    const conv = schemaOf("Conv", 27)!;
    expect(conv.inputs.map((p) => [p.name, p.kind, p.type])).toEqual([
      ["X", "single", "T"],
      ["W", "single", "T"],
      ["B", "optional", "T"],
    ]);
    expect([...conv.types.get("T")!].sort()).toEqual(["bfloat16", "float16", "float32", "float64"]);
    expect(conv.attributes.get("group")).toEqual({ name: "group", type: "int", required: false, default: 1 });
    expect(schemaOf("Concat", 27)!.inputs[0]).toMatchObject({ kind: "variadic", min: 1, homogeneous: true });
    expect(schemaOf("Loop", 27)!.inputs[2]).toMatchObject({ kind: "variadic", min: 0, homogeneous: false });
    expect(schemaOf("SequenceAt", 27)!.types.get("S")).toContain("seq(float32)");
    expect(schemaOf("BatchNormalization", 27)!.attributes.get("epsilon")!.default).toBe(1e-5);
    expect(schemaOf("MeanVarianceNormalization", 27)!.attributes.get("axes")!.default).toEqual([0, 2, 3]);
    expect(schemaOf("Gelu", 27)!.isFunction).toBe(true);
    expect(schemaOf("Upsample", 27)!.deprecated).toBe(true);
  });
});

describe("checkNode", () => {
  test("has nothing to say of a right node", () => {
    expect(codes(node("Conv", ["x", "w"], ["y"], { pads: { type: "ints", value: [1, 1, 1, 1] } }))).toEqual([]);
    expect(codes(node("Resize", ["x", "", "s"], ["y"]))).toEqual([]);
    expect(codes(node("LSTM", ["x", "w", "r"], ["", "h"], { hidden_size: attr.int(4) }))).toEqual([]);
    expect(codes(node("anything", [], [], {}, { domain: "acme" }))).toEqual([]);
  });

  test.each([
    ["an input that is missing", node("Conv", ["x"], ["y"]), ["ops/arity"]],
    ["an input left out", node("Conv", ["", "w"], ["y"]), ["ops/arity"]],
    ["an input too many", node("Relu", ["x", "z"], ["y"]), ["ops/arity"]],
    ["none of a variadic input", node("Concat", [], ["y"], { axis: attr.int(0) }), ["ops/arity"]],
    ["an output too many", node("Relu", ["x"], ["y", "z"]), ["ops/arity"]],
    ["no output", node("Relu", ["x"], []), ["ops/arity"]],
    ["an attribute unknown", node("Relu", ["x"], ["y"], { alpha: attr.float(1) }), ["ops/unknown-attribute"]],
    ["an attribute missing", node("Concat", ["x"], ["y"]), ["ops/missing-attribute"]],
    ["an attribute of another type", node("Softmax", ["x"], ["y"], { axis: attr.float(1) }), ["ops/attribute-type"]],
    ["an operator unknown", node("Reluu", ["x"], ["y"]), ["ops/unknown-operator"]],
    ["an operator deprecated", node("Upsample", ["x", "s"], ["y"]), ["ops/deprecated"]],
  ])("sees %s", (_, n, expected) => {
    expect(codes(n)).toEqual(expected);
  });

  test("sees element types", () => {
    const add = node("Add", ["a", "b"], ["y"]);
    expect(codes(add, 27, { a: of("float32"), b: of("float32"), y: of("float32") })).toEqual([]);
    expect(codes(add, 27, { a: of("float32"), b: of("int64") })).toEqual(["ops/element-type"]);
    expect(codes(add, 7, { a: of("uint8"), b: of("uint8") })).toEqual(["ops/element-type", "ops/element-type"]);
    expect(codes(node("Gather", ["a", "i"], ["y"]), 27, { i: of("float32") })).toEqual(["ops/element-type"]);
    expect(codes(node("Cast", ["a"], ["y"], { to: attr.int(17) }), 18)).toEqual(["ops/element-type"]);
  });
});

describe("lowestVersion", () => {
  test.each([
    ["Relu of float32", node("Relu", ["x"], ["y"]), 7],
    ["Softmax on the last axis", node("Softmax", ["x"], ["y"], { axis: attr.int(3) }), 7],
    ["Softmax on another", node("Softmax", ["x"], ["y"], { axis: attr.int(1) }), 13],
    ["Softmax on the default axis", node("Softmax", ["x"], ["y"]), 13],
    ["ReduceMean of everything", node("ReduceMean", ["x"], ["y"]), 7],
    ["ReduceMean with axes as input", node("ReduceMean", ["x", "a"], ["y"]), 18],
    ["MaxPool", node("MaxPool", ["x"], ["y"], { kernel_shape: { type: "ints", value: [2, 2] } }), 7],
    ["MaxPool with ceil_mode", node("MaxPool", ["x"], ["y"], { ceil_mode: attr.int(1) }), 22],
    ["GroupNormalization", node("GroupNormalization", ["x", "s", "b"], ["y"], { num_groups: attr.int(1) }), 21],
    ["Resize by scales", node("Resize", ["x", "", "s"], ["y"]), 13],
    ["Resize with antialias", node("Resize", ["x", "", "s"], ["y"], { antialias: attr.int(1) }), 18],
    ["RoiAlign", node("RoiAlign", ["x", "r", "i"], ["y"]), 16],
    ["Cast to int64", node("Cast", ["x"], ["y"], { to: attr.int(7) }), 7],
    ["Cast to float8", node("Cast", ["x"], ["y"], { to: attr.int(17) }), 24],
    ["Cast to float8 without saturation", node("Cast", ["x"], ["y"], { to: attr.int(17), saturate: attr.int(0) }), 19],
    ["QuantizeLinear by channel", node("QuantizeLinear", ["x", "s"], ["y"]), 13],
    ["Clip with bounds as inputs", node("Clip", ["x", "l", "h"], ["y"]), 11],
    ["another domain", node("Gelu", ["x"], ["y"], {}, { domain: "acme" }), 7],
  ])("%s", (_, n, expected) => {
    const types = new Map<string, ValueType>([
      ["a", of("int64", [1])],
      ["r", of("float32", [2, 4])],
      ["i", of("int64", [2])],
      ["s", of("float32", [4])],
    ]);
    expect(lowestVersion(n, (v) => (v === "y" ? undefined : (types.get(v) ?? allFloat())))).toBe(expected);
  });

  test("looks at element types, and does not guess them", () => {
    const relu = node("Relu", ["x"], ["y"]);
    const at = (dtype: "float32" | "bfloat16") => lowestVersion(relu, (v) => (v === "x" ? of(dtype) : undefined));
    expect([at("float32"), at("bfloat16"), lowestVersion(relu)]).toEqual([7, 13, 14]);
  });

  test("a mixed Pow is not older than 12", () => {
    const types = new Map([
      ["a", of("float32")],
      ["b", of("int64")],
      ["c", of("float32")],
    ]);
    expect(lowestVersion(node("Pow", ["a", "b"], ["y"]), (v) => types.get(v))).toBe(12);
    expect(lowestVersion(node("Pow", ["a", "c"], ["y"]), (v) => types.get(v))).toBe(7);
  });
});

test("breaks are at versions that the operator has", () => {
  for (const [op, versions] of breaks)
    for (const v of versions.keys()) expect(versionsOf(op), `${op} ${v}`).toContain(v);
});

test("a type that is not known is one of those that the model shows", () => {
  const behind = (dtype: "float32" | "float8e4m3fn") =>
    model(
      graph({
        inputs: [value("x", dtype, [2])],
        nodes: [node("F", ["x"], ["a"], {}, { domain: "acme" }), node("Reshape", ["a", "s"], ["y"])],
        weights: new Map([["s", tensor("int64", [1], [2])]]),
        outputs: [{ name: "y" }],
      }),
    );
  expect([lowestOpset(behind("float32")).version, lowestOpset(behind("float8e4m3fn")).version]).toEqual([7, 19]);
});

test("a model is as new as its newest node, graphs inside included", () => {
  const inner = graph({ nodes: [node("Gelu", ["x"], ["z"])], outputs: [value("z", "float32", [2])] });
  const branch = { type: "graph", value: inner } as const;
  const m = model(
    graph({
      inputs: [value("c", "bool", []), value("x", "float32", [2])],
      weights: new Map([["w", tensor("float32", [2], [1, 2])]]),
      nodes: [node("If", ["c"], ["y"], { then_branch: branch, else_branch: branch }), node("Add", ["x", "w"], ["s"])],
      outputs: [value("y", "float32", [2]), value("s", "float32", [2])],
    }),
  );
  const found = lowestOpset(m);
  expect([found.version, found.because?.op]).toEqual([20, "Gelu"]);
});
