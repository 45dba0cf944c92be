import {
  type Attribute,
  attr,
  type Dim,
  type DType,
  type FunctionDef,
  graph,
  IR_OPSET,
  type Model,
  model,
  type Node,
  node,
  resident,
  type Tensor,
  tensor,
  type ValueType,
  value,
  viewOf,
} from "@pare/core";
import { describe, expect, test } from "vitest";
import { codeOf } from "./dtype-codes.ts";
import { evaluate } from "./evaluate.ts";
import { substitute } from "./infer/dims.ts";
import { hasRule } from "./infer/visit.ts";
import { inferTypes } from "./infer.ts";
import { operatorNames, schemaOf } from "./schema.ts";

const ints = (...data: number[]) => tensor("int64", [data.length], data);
const one = (data: number) => tensor("int64", [], [data]);
const floats = (...data: number[]) => tensor("float32", [data.length], data);
const outputs = (...names: string[]) => names.map((name) => ({ name }));

/** A model of one graph: inputs with shapes, constants, nodes. */
const made = (
  inputs: Record<string, readonly Dim[]>,
  weights: Record<string, Tensor>,
  nodes: readonly Node[],
  dtype: DType = "float32",
): Model =>
  model(
    graph({
      inputs: Object.entries(inputs).map(([name, shape]) => value(name, dtype, shape)),
      weights: new Map(Object.entries(weights)),
      nodes,
      outputs: outputs(...nodes.at(-1)!.outputs.filter(Boolean)),
    }),
  );

const typeIn = (m: Model, name: string, options = {}) => inferTypes(m, options).of(viewOf(m).main, name);
const shapeIn = (m: Model, name = "y", options = {}) => {
  const type = typeIn(m, name, options);
  return type?.kind === "tensor" ? type.shape : undefined;
};

type Case = [name: string, inputs: Record<string, number[]>, weights: Record<string, Tensor>, node: Node];
const at = (name: string, attributes: Record<string, Attribute> = {}) => ({ name, attributes });
const of = (
  { name, attributes }: ReturnType<typeof at>,
  inputs: Record<string, number[]>,
  weights: Record<string, Tensor> = {},
  order = [...Object.keys(inputs), ...Object.keys(weights)],
  out = ["y"],
): Case => [`${name} ${Object.keys(attributes)}`, inputs, weights, node(name, order, out, attributes)];

const cases: Case[] = [
  of(at("Add"), { a: [2, 1, 4], b: [3, 1] }),
  of(at("Where"), { a: [1, 4], b: [3, 1] }, { c: tensor("bool", [4], [1, 0, 1, 0]) }, ["c", "a", "b"]),
  of(at("MatMul"), { a: [2, 3, 4], b: [4, 5] }),
  of(at("MatMul"), { a: [4], b: [2, 4, 5] }),
  of(at("Gemm", { transA: attr.int(1), transB: attr.int(1) }), { a: [3, 4], b: [5, 3] }),
  of(at("Conv", { pads: attr.ints([1, 0, 2, 1]), strides: attr.ints([2, 3]) }), { x: [2, 3, 9, 11], w: [4, 3, 3, 2] }),
  of(at("Conv", { auto_pad: attr.string("SAME_UPPER"), strides: attr.ints([2, 2]) }), {
    x: [1, 2, 7, 8],
    w: [4, 2, 3, 3],
  }),
  of(at("Conv", { dilations: attr.ints([2]), group: attr.int(2) }), { x: [1, 4, 9], w: [6, 2, 3] }),
  of(at("ConvTranspose", { strides: attr.ints([2, 2]), output_padding: attr.ints([1, 0]) }), {
    x: [1, 2, 4, 5],
    w: [2, 3, 3, 3],
  }),
  of(at("MaxPool", { kernel_shape: attr.ints([3, 3]), strides: attr.ints([2, 2]) }), { x: [1, 2, 8, 9] }),
  of(at("MaxPool", { kernel_shape: attr.ints([2, 2]), strides: attr.ints([2, 2]), ceil_mode: attr.int(1) }), {
    x: [1, 2, 7, 8],
  }),
  of(
    at("AveragePool", {
      kernel_shape: attr.ints([3]),
      strides: attr.ints([2]),
      pads: attr.ints([1, 1]),
      ceil_mode: attr.int(1),
    }),
    { x: [1, 2, 6] },
  ),
  of(at("GlobalAveragePool"), { x: [2, 3, 4, 5] }),
  of(at("ReduceMean", { keepdims: attr.int(0) }), { x: [2, 3, 4] }, { axes: ints(-1, 0) }),
  of(at("ReduceSum"), { x: [2, 3, 4] }, { axes: ints(1) }),
  of(at("ReduceMax", { keepdims: attr.int(0) }), { x: [2, 3] }),
  of(at("ArgMax", { axis: attr.int(1), keepdims: attr.int(0) }), { x: [2, 3, 4] }),
  of(at("TopK", { axis: attr.int(1) }), { x: [2, 5] }, { k: ints(3) }, ["x", "k"], ["y", "i"]),
  of(at("Reshape"), { x: [2, 3, 4] }, { s: ints(0, -1) }),
  of(at("Reshape"), { x: [2, 3, 4] }, { s: ints(4, -1, 3) }),
  of(at("Flatten", { axis: attr.int(2) }), { x: [2, 3, 4, 5] }),
  of(at("Transpose", { perm: attr.ints([2, 0, 1]) }), { x: [2, 3, 4] }),
  of(at("Squeeze"), { x: [2, 1, 4] }, { axes: ints(-2) }),
  of(at("Unsqueeze"), { x: [2, 4] }, { axes: ints(0, -1) }),
  of(at("Expand"), { x: [2, 1, 4] }, { s: ints(3, 1, 5, 1) }),
  of(at("Tile"), { x: [2, 3] }, { r: ints(2, 3) }),
  of(at("Pad"), { x: [2, 3] }, { p: ints(1, 2, 0, 1) }),
  of(at("Concat", { axis: attr.int(-1) }), { a: [2, 3], b: [2, 4] }),
  of(at("Split", { axis: attr.int(1), num_outputs: attr.int(2) }), { x: [2, 5] }, {}, ["x"], ["y", "z"]),
  of(at("Slice"), { x: [7, 8] }, { s: ints(1, -2), e: ints(2 ** 40, -9), a: ints(0, 1), t: ints(2, -3) }),
  of(at("Gather", { axis: attr.int(1) }), { x: [2, 5, 3] }, { i: tensor("int64", [2, 2], [0, 1, 2, 3]) }),
  of(at("GatherElements"), { x: [3, 2] }, { i: tensor("int64", [2, 2], [0, 1, 2, 0]) }),
  of(at("Resize"), { x: [1, 1, 5, 6] }, { s: floats(1, 1, 1.5, 2) }, ["x", "", "s"]),
  of(at("Resize"), { x: [1, 1, 5, 6] }, { s: ints(1, 1, 7, 9) }, ["x", "", "", "s"]),
  of(at("DepthToSpace", { blocksize: attr.int(2) }), { x: [1, 8, 3, 4] }),
  of(at("SpaceToDepth", { blocksize: attr.int(2) }), { x: [1, 2, 4, 6] }),
  of(at("Shape", { start: attr.int(-2) }), { x: [2, 3, 4] }),
  of(at("Softmax"), { x: [2, 3] }),
  of(at("LayerNormalization", { axis: attr.int(1) }), { x: [2, 3, 4], s: [3, 4] }),
  of(at("Einsum", { equation: attr.string("bij,bjk->ik") }), { a: [2, 3, 4], b: [2, 4, 5] }),
  of(
    at("LSTM", { hidden_size: attr.int(4) }),
    { x: [5, 2, 3], w: [1, 16, 3], r: [1, 16, 4] },
    {},
    ["x", "w", "r"],
    ["y", "h", "c"],
  ),
  of(
    at("GRU", { hidden_size: attr.int(4), direction: attr.string("bidirectional") }),
    { x: [5, 2, 3], w: [2, 12, 3], r: [2, 12, 4] },
    {},
    ["x", "w", "r"],
    ["y", "h"],
  ),
  of(at("Cast", { to: attr.int(codeOf("int32")) }), { x: [2, 3] }),
  of(at("Range"), {}, { a: one(2), b: one(11), c: one(3) }),
  of(at("ConstantOfShape"), {}, { s: ints(2, 3) }),
  of(at("OneHot"), {}, { i: ints(0, 2, 1), d: one(4), v: floats(0, 1) }),
  of(at("CumSum"), { x: [2, 3] }, { a: one(1) }),
  of(at("Trilu"), { x: [2, 3, 3] }),
  of(at("DynamicQuantizeLinear"), { x: [2, 3] }, {}, ["x"], ["y", "s", "z"]),
  of(at("NonZero"), {}, { x: ints(1, 0, 3) }),
];

describe("what is inferred is what is computed", () => {
  test.each(cases)("%s", async (_, inputs, weights, n) => {
    const m = made(inputs, weights, [n]);
    const values = Object.fromEntries(
      Object.entries(inputs).map(([name, shape]) => [
        name,
        tensor(
          "float32",
          shape,
          Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_x, i) => i % 7),
        ),
      ]),
    );
    const computed = await evaluate(m, values);
    // Symbols that are put in give what the numbers give.
    const symbols = new Map<string, Dim>();
    const free = Object.fromEntries(
      Object.entries(inputs).map(([name, shape]) => [
        name,
        shape.map((d, i) => {
          symbols.set(`${name}_${i}`, d);
          return `${name}_${i}`;
        }),
      ]),
    );
    const general = made(free, weights, [n]);
    for (const name of n.outputs) {
      const { dtype, shape } = computed[name]!;
      expect(typeIn(m, name)).toEqual({ kind: "tensor", dtype, shape });
      const type = typeIn(general, name) as ValueType & { shape: Dim[] };
      expect(type.shape).toHaveLength(shape.length);
      for (const [i, d] of type.shape.entries()) if (d !== null) expect(substitute(d, symbols)).toBe(shape[i]);
    }
    const elements = inferTypes(m).constantInts(viewOf(m).main, n.outputs[0]!);
    if (elements) {
      const { data } = { data: await resident(computed[n.outputs[0]!]!) };
      expect(tensor(data.dtype, data.shape, elements as number[]).bytes).toEqual(data.bytes);
    }
  });
});

describe("symbols", () => {
  test("go through convolutions, shapes and arithmetic", () => {
    const m = made(
      { x: ["N", 3, "H", "W"] },
      { w: tensor("float32", [8, 3, 3, 3], new Float32Array(216)), zero: ints(0), minus: ints(-1), two: one(2) },
      [
        node("Conv", ["x", "w"], ["c"], { strides: attr.ints([2, 2]), pads: attr.ints([1, 1, 1, 1]) }),
        node("Shape", ["c"], ["s"]),
        node("Gather", ["s", "zero"], ["n"]),
        node("Concat", ["n", "minus"], ["to"], { axis: attr.int(0) }),
        node("Reshape", ["c", "to"], ["r"]),
        node("Concat", ["r", "r"], ["y"], { axis: attr.int(1) }),
      ],
    );
    expect(shapeIn(m, "c")).toEqual(["N", 8, "floor((H+1)/2)", "floor((W+1)/2)"]);
    expect(shapeIn(m, "r")).toEqual(["N", "8*floor((H+1)/2)*floor((W+1)/2)"]);
    expect(shapeIn(m)).toEqual(["N", "16*floor((H+1)/2)*floor((W+1)/2)"]);
    expect(shapeIn(m, "y", { inputs: new Map([["x", [2, 3, 7, 8]]]) })).toEqual([2, 16 * 4 * 4]);
    expect(inferTypes(m).constantInts(viewOf(m).main, "to")).toEqual(["N", -1]);
  });

  test("decide comparisons where they can", () => {
    // The way in which Expand is exported: -1 keeps a dimension.
    const m = made({ x: ["N", 1] }, { shape: ints(-1, 5), minus: ints(-1), ones: ints(1, 1) }, [
      node("Equal", ["shape", "minus"], ["keeps"]),
      node("Where", ["keeps", "ones", "shape"], ["to"]),
      node("Expand", ["x", "to"], ["y"]),
    ]);
    expect(shapeIn(m)).toEqual(["N", 5]);
  });

  test("leave open what depends on them", () => {
    expect(shapeIn(made({ a: ["N"], b: ["M"] }, {}, [node("Add", ["a", "b"], ["y"])]))).toEqual([null]);
    expect(shapeIn(made({ a: ["N"], b: [4] }, {}, [node("Add", ["a", "b"], ["y"])]))).toEqual([4]);
    expect(shapeIn(made({ x: ["N"] }, { s: ints(0), e: ints(10) }, [node("Slice", ["x", "s", "e"], ["y"])]))).toEqual([
      "min(10,N)",
    ]);
    expect(
      shapeIn(made({ x: ["N"] }, { s: ints(1), e: ints(2 ** 40) }, [node("Slice", ["x", "s", "e"], ["y"])])),
    ).toEqual(["N-1"]);
  });
});

describe("what the model declares", () => {
  const declared = (type: ValueType): Model => {
    const m = made({ x: ["N", 4] }, {}, [
      node("Custom", ["x"], ["t"], {}, { domain: "acme" }),
      node("Relu", ["t"], ["y"]),
    ]);
    return { ...m, graph: { ...m.graph, types: new Map([["t", { name: "t", type }]]) } };
  };

  test("is used where no rule knows", () => {
    const m = declared({ kind: "tensor", dtype: "float16", shape: ["N", 8] });
    expect(typeIn(m, "y")).toEqual({ kind: "tensor", dtype: "float16", shape: ["N", 8] });
    expect(shapeIn(m, "y", { inputs: new Map([["x", [3, 4]]]) })).toEqual([3, 8]);
  });

  test("gives way to what is inferred, and to inputs that contradict it", () => {
    const m = made({ x: [2, 4] }, {}, [node("Relu", ["x"], ["y"])]);
    const wrong = { name: "y", type: { kind: "tensor", dtype: "int8", shape: [9, 9] } as const };
    expect(typeIn({ ...m, graph: { ...m.graph, outputs: [wrong] } }, "y")).toEqual({
      kind: "tensor",
      dtype: "float32",
      shape: [2, 4],
    });
    const fixed = made({ x: [1, 4] }, {}, [node("Custom", ["x"], ["y"], {}, { domain: "acme" })]);
    const stale = { name: "y", type: { kind: "tensor", dtype: "float32", shape: [1, 4] } as const };
    const batched = { ...fixed, graph: { ...fixed.graph, outputs: [stale] } };
    expect(typeIn(batched, "y", { inputs: new Map([["x", [7, 4]]]) })).toEqual({ kind: "tensor", dtype: "float32" });
  });
});

describe("graphs inside nodes", () => {
  test("branches keep what they share", () => {
    const branch = (...shape: number[]) =>
      attr.graph(
        graph({
          nodes: [
            node("Constant", [], ["v"], {
              value: attr.tensor(tensor("float32", shape, new Float32Array(shape.reduce((a, b) => a * b, 1)))),
            }),
          ],
          outputs: outputs("v"),
        }),
      );
    const either = (then: Attribute, otherwise: Attribute, weights = {}) =>
      made({ c: [] }, weights, [node("If", ["c"], ["y"], { then_branch: then, else_branch: otherwise })], "bool");
    expect(shapeIn(either(branch(2, 3), branch(2, 4)))).toEqual([2, null]);
    expect(typeIn(either(branch(2, 3), branch(2)), "y")).toEqual({ kind: "tensor", dtype: "float32" });
    const known = made({}, { c: tensor("bool", [], [1]) }, [
      node("If", ["c"], ["y"], { then_branch: branch(2, 3), else_branch: branch(2) }),
    ]);
    expect(shapeIn(known)).toEqual([2, 3]);
  });

  test("loops widen what changes from turn to turn and stack what they scan", () => {
    const body = graph({
      inputs: [value("i", "int64"), value("go", "bool"), { name: "grown" }, { name: "kept" }],
      nodes: [
        node("Identity", ["go"], ["on"]),
        node("Concat", ["grown", "x"], ["longer"], { axis: attr.int(0) }),
        node("Relu", ["kept"], ["same"]),
        node("Cast", ["same"], ["scan"], { to: attr.int(codeOf("int8")) }),
      ],
      outputs: outputs("on", "longer", "same", "scan"),
    });
    const m = made({ x: ["N", 4] }, { turns: one(6) }, [
      node("Loop", ["turns", "", "x", "x"], ["a", "b", "y"], { body: attr.graph(body) }),
    ]);
    expect(shapeIn(m, "a")).toEqual([null, 4]);
    expect(shapeIn(m, "b")).toEqual(["N", 4]);
    expect(typeIn(m, "y")).toEqual({ kind: "tensor", dtype: "int8", shape: [6, "N", 4] });
    const inner = viewOf(m).graphs[1]!;
    expect(inferTypes(m).of(inner, "longer")).toEqual({ kind: "tensor", dtype: "float32", shape: [null, 4] });
    expect(inferTypes(m).of(inner, "x")).toEqual({ kind: "tensor", dtype: "float32", shape: ["N", 4] });
  });

  test("scans take and give slices", () => {
    const body = graph({
      inputs: [{ name: "state" }, { name: "part" }],
      nodes: [node("Add", ["state", "part"], ["sum"]), node("Identity", ["sum"], ["out"])],
      outputs: outputs("sum", "out"),
    });
    const m = made({ s: [3], x: [3, "T"] }, {}, [
      node("Scan", ["s", "x"], ["last", "y"], {
        body: attr.graph(body),
        num_scan_inputs: attr.int(1),
        scan_input_axes: attr.ints([1]),
      }),
    ]);
    expect(shapeIn(m, "last")).toEqual([3]);
    expect(shapeIn(m)).toEqual(["T", 3]);
  });

  test("functions are inferred for each caller", () => {
    const f: FunctionDef = {
      domain: "acme",
      name: "Half",
      overload: "",
      attributes: ["to"],
      defaults: new Map(),
      opsets: new Map([["", IR_OPSET]]),
      body: graph({
        inputs: outputs("a"),
        nodes: [node("Cast", ["a"], ["b"], { to: { type: "ref", of: "int", name: "to" } })],
        outputs: outputs("b"),
      }),
    };
    const call = (from: string, to: string, dtype: DType) =>
      node("Half", [from], [to], { to: attr.int(codeOf(dtype)) }, { domain: "acme" });
    const m = { ...made({ x: [2], z: [3] }, {}, [call("x", "p", "float16"), call("z", "y", "int8")]), functions: [f] };
    expect(typeIn(m, "p")).toEqual({ kind: "tensor", dtype: "float16", shape: [2] });
    expect(typeIn(m, "y")).toEqual({ kind: "tensor", dtype: "int8", shape: [3] });
    const inside = viewOf(m).graphs.find((v) => v.graph === f.body)!;
    expect(inferTypes(m).of(inside, "a")).toEqual({ kind: "tensor", dtype: "float32", shape: [null] });
    const endless = { ...f, body: { ...f.body, nodes: [call("a", "b", "int8")] } };
    expect(typeIn({ ...m, functions: [endless] }, "y")).toBeUndefined();
  });

  test("sequences know their elements", () => {
    const m = made({ x: ["N", 6] }, { at: one(0) }, [
      node("SplitToSequence", ["x"], ["parts"], { axis: attr.int(1) }),
      node("SequenceAt", ["parts", "at"], ["y"]),
    ]);
    expect(typeIn(m, "parts")).toEqual({
      kind: "sequence",
      element: { kind: "tensor", dtype: "float32", shape: ["N", 1] },
    });
    expect(shapeIn(m)).toEqual(["N", 1]);
  });
});

test("a default of an input is no constant", () => {
  const m = made({ x: [4] }, { s: ints(2, 2) }, [node("Reshape", ["x", "s"], ["y"])]);
  const open = { ...m, graph: { ...m.graph, inputs: [...m.graph.inputs, { name: "s" }] } };
  expect(shapeIn(m)).toEqual([2, 2]);
  expect(typeIn(open, "s")).toEqual({ kind: "tensor", dtype: "int64", shape: [2] });
  expect(shapeIn(open)).toEqual([null, null]);
});

test("says why it does not know", () => {
  const m = made({ x: [4], shape: [2] }, {}, [
    node("Reshape", ["x", "shape"], ["r"], {}, { name: "R" }),
    node("Relu", ["r"], ["y"]),
  ]);
  const types = inferTypes(m);
  expect(types.reason(viewOf(m).main, "x")).toBeUndefined();
  expect(types.reason(viewOf(m).main, "y")).toBe(
    "what R (Reshape) gives depends on values that are known only when it runs",
  );
  const other = made({ x: [4] }, {}, [
    node("Custom", ["x"], ["c"], {}, { domain: "acme" }),
    node("Relu", ["c"], ["y"]),
  ]);
  expect(inferTypes(other).reason(viewOf(other).main, "y")).toBe("there is no rule for acme.Custom (c)");
});

test("has a rule for every operator", () => {
  const missing = operatorNames().filter((op) => !hasRule(node(op, [], [])));
  expect(missing).toEqual([]);
});

test("never throws, whatever a model says", () => {
  let seed = 1;
  const random = (n: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % n;
  };
  const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;
  const thrown: string[] = [];
  const dims: Dim[] = [0, 1, 2, 3, -1, null, "N", "2*N+1", "a b", "((", 2 ** 53];
  const numbers = [-(2 ** 63), -7, -1, 0, 1, 2, 5, 2 ** 31, 2 ** 62];
  for (const op of operatorNames())
    for (let round = 0; round < 20; round++) {
      const schema = schemaOf(op, IR_OPSET)!;
      const attributes = new Map<string, Attribute>();
      for (const a of schema.attributes.values()) {
        if (random(3) === 0) continue;
        if (a.type === "int") attributes.set(a.name, attr.int(pick(numbers)));
        else if (a.type === "ints")
          attributes.set(a.name, attr.ints(Array.from({ length: random(5) }, () => pick(numbers))));
        else if (a.type === "string")
          attributes.set(a.name, attr.string(pick(["", "SAME_LOWER", "...ij->", "a,,b->zz", "i...,...->"])));
        else if (a.type === "graph")
          attributes.set(a.name, attr.graph(graph({ inputs: outputs("q"), nodes: [], outputs: outputs("q", "w0") })));
      }
      const inputs: Record<string, Dim[]> = {};
      const weights: Record<string, Tensor> = {};
      const order = Array.from({ length: random(6) }, (_, i) => {
        if (random(2)) inputs[`x${i}`] = Array.from({ length: random(5) }, () => pick(dims));
        else weights[`w${i}`] = ints(...Array.from({ length: random(4) }, () => pick(numbers)));
        return random(8) ? `${`x${i}` in inputs ? "x" : "w"}${i}` : "";
      });
      const m = made(
        inputs,
        weights,
        [node(op, order, ["y", "z", "u"], attributes)],
        pick(["float32", "int64", "bool"]),
      );
      try {
        inferTypes(m).reason(viewOf(m).main, "y");
      } catch (error) {
        thrown.push(`${op}: ${error}`);
      }
    }
  expect(thrown).toEqual([]);
});
