import {
  type Attribute,
  attr,
  graph,
  IR_OPSET,
  model,
  node,
  type ResidentTensor,
  tensor,
  value,
  viewOf,
} from "@pare/core";
import { describe, expect, test } from "vitest";
import { caseOf, graphCases, modelOfCase, operatorCases } from "./cases.ts";
import { evaluate, evaluatedOperators, evaluateNode, evaluateValues } from "./evaluate.ts";
import { numbersOf } from "./numeric.ts";
import { checkNode, operatorNames, schemaOf } from "./schema.ts";

/** Integers are equal; floats within 1e-5 of each other, for what they were written down with. */
function expectClose(got: ResidentTensor | undefined, expected: ResidentTensor): void {
  expect([got?.dtype, got?.shape]).toEqual([expected.dtype, expected.shape]);
  const exact = /int|bool/.test(expected.dtype);
  if (exact) {
    expect(got!.bytes).toEqual(expected.bytes);
    return;
  }
  const numbers = numbersOf(got!);
  const wrong = Array.from(numbersOf(expected)).filter((e, i) => {
    const g = numbers[i]!;
    return !(Object.is(g, e) || Math.abs(g - e) <= 1e-6 + 1e-5 * Math.abs(e));
  });
  expect(wrong, `${numbers}`).toEqual([]);
}

describe("evaluateNode", () => {
  test.each(operatorCases.map((c) => [c.name, c] as const))("%s", (_, c) => {
    const got = evaluateNode(c.node, c.inputs);
    for (const [i, expected] of c.outputs.entries()) expectClose(got?.[i], expected);
  });

  test("every operator has a case, but these", () => {
    const cases = [...operatorCases.map(modelOfCase), ...graphCases];
    const tried = new Set(cases.flatMap((c) => viewOf(c.model).graphs.flatMap((v) => v.graph.nodes.map((n) => n.op))));
    expect(operatorNames().filter((op) => !tried.has(op))).toEqual(
      operatorNames().filter((op) => !evaluatedOperators.has(op)),
    );
  });

  test("an attribute that is left out has the schema's default", () => {
    for (const c of operatorCases) {
      const defaults = [...schemaOf(c.node.op, IR_OPSET)!.attributes.values()].flatMap((a) =>
        a.default === undefined || c.node.attributes.has(a.name)
          ? []
          : [[a.name, { type: a.type, value: a.default } as Attribute] as const],
      );
      const whole = { ...c.node, attributes: new Map([...c.node.attributes, ...defaults]) };
      const got = evaluateNode(whole, c.inputs);
      for (const [i, expected] of c.outputs.entries()) expectClose(got?.[i], expected);
    }
  });

  test("the cases are what the schemas say", () => {
    const wrong = operatorCases.flatMap((c) => {
      const types = new Map(c.inputs.map((t, i) => [`x${i}`, t]));
      return checkNode(c.node, IR_OPSET, (v) => {
        const t = types.get(v);
        return t && { kind: "tensor", dtype: t.dtype, shape: t.shape };
      });
    });
    expect(wrong).toEqual([]);
  });

  test("operators that are not evaluated are these", () => {
    expect(operatorNames().filter((op) => !evaluatedOperators.has(op))).toEqual([
      ...["Bernoulli", "ImageDecoder", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"],
      ...["RandomUniformLike", "RegexFullMatch", "Scatter", "StringConcat", "StringNormalizer", "StringSplit"],
      "Upsample",
    ]);
    expect(evaluateNode(node("RandomNormal", [], ["y"]), [])).toBeUndefined();
    expect(
      evaluateNode(node("Relu", ["x"], ["y"], {}, { domain: "acme" }), [tensor("float32", [], [1])]),
    ).toBeUndefined();
  });

  test("rounds once, from float64 to the element type", () => {
    const half = tensor("float16", [2], [0x3c01, 0x3555]);
    const c = caseOf("Mul", {}, [half, half], []);
    // 1.0009765625 squared is 1.00195407867…; 0.333251953125 squared 0.11105686…
    expectClose(evaluateNode(c.node, c.inputs)?.[0], tensor("float16", [2], [0x3c02, 0x2f1c]));
  });

  test.each([
    ["an input that is missing", node("Add", ["a"], ["y"]), [tensor("float32", [1], [1])]],
    ["shapes that do not go together", node("Add", ["a", "b"], ["y"]), [f(2), f(3)]],
    ["an axis that is not there", node("Concat", ["a"], ["y"], { axis: attr.int(4) }), [f(2)]],
    ["a result too large", node("ConstantOfShape", ["a"], ["y"]), [tensor("int64", [2], [1n << 40n, 9n])]],
    ["a shape below zero", node("ConstantOfShape", ["a"], ["y"]), [tensor("int64", [1], [-9n])]],
    ["an index too large", node("Gather", ["a", "b"], ["y"]), [f(2), tensor("int64", [1], [5])]],
    ["a negative number of parts", node("Split", ["a"], ["y"], { num_outputs: attr.int(-1) }), [f(2)]],
    ["windows without end", pooling(2 ** 40), [tensor("float32", [1, 1, 1], [1])]],
  ])("%s is a PareError", (_, n, inputs) => {
    expect(() => evaluateNode(n, inputs)).toThrow(expect.objectContaining({ name: "PareError" }));
  });
});

function f(size: number): ResidentTensor {
  return tensor("float32", [size], new Float32Array(size));
}

function pooling(size: number) {
  const ints = (value: number[]) => ({ type: "ints", value }) as const;
  return node("MaxPool", ["x"], ["y"], { kernel_shape: ints([size]), pads: ints([size, size]) });
}

describe("evaluate", () => {
  test.each(graphCases.map((c) => [c.name, c] as const))("%s", async (_, c) => {
    const got = await evaluate(c.model, c.inputs);
    for (const [name, expected] of Object.entries(c.outputs)) expectClose(got[name], expected);
  });

  const float = (name: string, shape: (number | string)[] = []) => value(name, "float32", shape);
  const scalar = (x: number) => tensor("float32", [], [x]);

  test("control flow sees the values around it", async () => {
    const branch = (op: string) =>
      ({
        type: "graph",
        value: graph({ nodes: [node(op, ["x", "w"], [`${op}_y`])], outputs: [float(`${op}_y`)] }),
      }) as const;
    const m = model(
      graph({
        inputs: [value("c", "bool", []), float("x")],
        weights: new Map([["w", scalar(3)]]),
        nodes: [node("If", ["c"], ["y"], { then_branch: branch("Add"), else_branch: branch("Sub") })],
        outputs: [float("y")],
      }),
    );
    const run = async (c: number) => (await evaluate(m, { c: tensor("bool", [], [c]), x: scalar(5) }))["y"]!;
    expectClose(await run(1), scalar(8));
    expectClose(await run(0), scalar(2));
  });

  /** Doubles `s` in each iteration and keeps it. */
  const doubling = graph({
    inputs: [value("i", "int64", []), value("go", "bool", []), float("s")],
    nodes: [node("Add", ["s", "s"], ["t"]), node("Identity", ["go"], ["next"]), node("Identity", ["t"], ["kept"])],
    outputs: [value("next", "bool", []), float("t"), float("kept")],
  });

  test("Loop carries values and stacks what it keeps", async () => {
    const m = model(
      graph({
        inputs: [value("n", "int64", []), float("x")],
        nodes: [node("Loop", ["n", "", "x"], ["last", "all"], { body: { type: "graph", value: doubling } })],
        outputs: [float("last"), float("all", ["n"])],
      }),
    );
    const run = (n: number) => evaluate(m, { n: tensor("int64", [], [n]), x: scalar(1) });
    const three = await run(3);
    expectClose(three["last"], scalar(8));
    expectClose(three["all"], tensor("float32", [3], [2, 4, 8]));
    expectClose((await run(0))["all"], tensor("float32", [0], []));
  });

  test("a loop without end is refused", async () => {
    const body = graph({
      inputs: [value("i", "int64", []), value("go", "bool", [])],
      nodes: [node("Identity", ["go"], ["next"])],
      outputs: [value("next", "bool", [])],
    });
    const endless = node("Loop", [], [], { body: { type: "graph", value: body } });
    await expect(evaluate(model(graph({ nodes: [endless], outputs: [] })), {})).rejects.toMatchObject({
      code: "ops/too-long",
    });
  });

  test("Scan runs along an axis, backwards where asked", async () => {
    const body = graph({
      inputs: [float("s"), float("e")],
      nodes: [node("Add", ["s", "e"], ["t"]), node("Identity", ["t"], ["kept"])],
      outputs: [float("t"), float("kept")],
    });
    const m = model(
      graph({
        inputs: [float("start"), float("x", [3])],
        nodes: [
          node("Scan", ["start", "x"], ["sum", "sums"], {
            body: { type: "graph", value: body },
            num_scan_inputs: attr.int(1),
            scan_input_directions: { type: "ints", value: [1] },
          }),
        ],
        outputs: [float("sum"), float("sums", [3])],
      }),
    );
    const got = await evaluate(m, { start: scalar(10), x: tensor("float32", [3], [1, 2, 3]) });
    expectClose(got["sum"], scalar(16));
    expectClose(got["sums"], tensor("float32", [3], [13, 15, 16]));
  });

  test("functions of the model, with their attributes", async () => {
    const m = model(
      graph({
        inputs: [float("x", [2])],
        nodes: [node("Leak", ["x"], ["y"], { slope: attr.float(0.5) }, { domain: "acme" })],
        outputs: [float("y", [2])],
      }),
      {
        opsets: new Map([
          ["", IR_OPSET],
          ["acme", 1],
        ]),
        functions: [
          {
            domain: "acme",
            name: "Leak",
            overload: "",
            attributes: ["slope"],
            defaults: new Map(),
            opsets: new Map([["", IR_OPSET]]),
            body: graph({
              inputs: [{ name: "a" }],
              nodes: [node("LeakyRelu", ["a"], ["b"], { alpha: { type: "ref", of: "float", name: "slope" } })],
              outputs: [{ name: "b" }],
            }),
          },
        ],
      },
    );
    expectClose((await evaluate(m, { x: tensor("float32", [2], [-4, 4]) }))["y"], tensor("float32", [2], [-2, 4]));
  });

  test("a function that calls itself is refused", async () => {
    const call = node("Self", ["x"], ["y"], {}, { domain: "acme" });
    const body = graph({ inputs: [{ name: "x" }], nodes: [call], outputs: [{ name: "y" }] });
    const nothing = new Map<string, never>();
    const f = { domain: "acme", name: "Self", overload: "", attributes: [], defaults: nothing, opsets: nothing, body };
    const m = model(graph({ inputs: [float("x")], nodes: [call], outputs: [float("y")] }), { functions: [f] });
    await expect(evaluate(m, { x: scalar(1) })).rejects.toMatchObject({ code: "ops/too-deep" });
  });

  test("sequences and optionals go in and out", async () => {
    const sequence = (name: string) =>
      ({ name, type: { kind: "sequence", element: { kind: "tensor", dtype: "float32" } } }) as const;
    const m = model(
      graph({
        inputs: [sequence("s"), float("x", [1])],
        weights: new Map([["first", tensor("int64", [], [0])]]),
        nodes: [
          node("SequenceInsert", ["s", "x", "first"], ["t"]),
          node("ConcatFromSequence", ["t"], ["y"], { axis: attr.int(0) }),
          node("OptionalHasElement", [""], ["has"]),
        ],
        outputs: [sequence("t"), float("y", [3]), value("has", "bool", [])],
      }),
    );
    const [a, b, x] = [1, 2, 3].map((v) => tensor("float32", [1], [v])) as [
      ResidentTensor,
      ResidentTensor,
      ResidentTensor,
    ];
    const got = await evaluateValues(
      m,
      new Map<string, ResidentTensor | ResidentTensor[]>([
        ["s", [a, b]],
        ["x", x],
      ]),
    );
    expectClose(got.get("y") as ResidentTensor, tensor("float32", [3], [3, 1, 2]));
    expect((got.get("t") as ResidentTensor[]).map((t) => numbersOf(t)[0])).toEqual([3, 1, 2]);
    expectClose(got.get("has") as ResidentTensor, tensor("bool", [], [0]));
  });

  test("sparse tensors stand for dense ones", async () => {
    const sparse = (places: ResidentTensor) => ({
      values: tensor("float32", [2], [5, 7]),
      indices: places,
      shape: [2, 3],
    });
    const m = model(
      graph({
        sparseWeights: new Map([["a", sparse(tensor("int64", [2], [1, 5]))]]),
        nodes: [
          node("Constant", [], ["b"], {
            sparse_value: { type: "sparse", value: sparse(tensor("int64", [2, 2], [0, 1, 1, 0])) },
          }),
          node("Add", ["a", "b"], ["y"]),
        ],
        outputs: [float("y", [2, 3])],
      }),
    );
    expectClose((await evaluate(m, {}))["y"], tensor("float32", [2, 3], [0, 10, 0, 7, 0, 7]));
  });

  test("hears an abort between nodes", async () => {
    const count = 2 ** 20;
    const names = Array.from({ length: 40 }, (_, i) => `v${i}`);
    const m = model(
      graph({
        inputs: [float("v0", [count])],
        nodes: names.slice(1).map((to, i) => node("Sin", [names[i]!], [to])),
        outputs: [float(names.at(-1)!, [count])],
      }),
    );
    const abort = new AbortController();
    const run = evaluate(m, { v0: tensor("float32", [count], new Float32Array(count)) }, abort);
    setTimeout(() => abort.abort(new Error("enough")));
    await expect(run).rejects.toThrow("enough");
  });

  test("says what is wrong and where", async () => {
    const add = node("Add", ["x", "w"], ["y"], {}, { name: "sum" });
    const weights = new Map([["w", tensor("float32", [2], [1, 2])]]);
    const m = model(graph({ inputs: [float("x", [3])], weights, nodes: [add], outputs: [float("y")] }));
    await expect(evaluate(m, { x: tensor("float32", [3], [1, 2, 3]) })).rejects.toMatchObject({
      code: "ops/broadcast",
      diagnostics: [{ location: { node: "sum", op: "Add" } }],
    });
  });

  test("says what is missing", async () => {
    const m = model(
      graph({ inputs: [float("x")], nodes: [node("RandomNormalLike", ["x"], ["y"])], outputs: [float("y")] }),
    );
    await expect(evaluate(m, { x: scalar(1) })).rejects.toMatchObject({ code: "ops/no-rule" });
    await expect(evaluate(m, {})).rejects.toMatchObject({ code: "ops/input" });
  });
});

test("a product of 32-bit integers keeps its low bits, which float64 would round away", () => {
  const most = 2 ** 31 - 1;
  const product = (dtype: "int32" | "uint32", v: number) => {
    const x = tensor(dtype, [1], [v]);
    return [...numbersOf(evaluateNode(node("Mul", ["x", "x"], ["y"]), [x, x])![0]!)];
  };
  expect(product("int32", most)).toEqual([1]);
  expect(product("uint32", 2 ** 32 - 1)).toEqual([1]);
});

describe("64-bit integers", () => {
  const i64 = (...values: bigint[]) => tensor("int64", [values.length], values);
  const u64 = (...values: bigint[]) => tensor("uint64", [values.length], values);
  const big = 2n ** 63n + 1n;
  test.each([
    [
      "CumSum",
      node("CumSum", ["x", "a"], ["y"]),
      [i64(2n ** 60n, 1n), tensor("int64", [], [0])],
      i64(2n ** 60n, 2n ** 60n + 1n),
    ],
    ["Pow", node("Pow", ["x", "e"], ["y"]), [i64(3n, -2n, 7n), i64(39n, 63n, 0n)], i64(3n ** 39n, -(2n ** 63n), 1n)],
    [
      "MatMul",
      node("MatMul", ["x", "z"], ["y"]),
      [i64(2n ** 40n + 1n, 1n), i64(2n ** 20n, 3n)],
      tensor("int64", [], [2n ** 60n + 2n ** 20n + 3n]),
    ],
    ["Max of unsigned", node("Max", ["x", "z"], ["y"]), [u64(big), u64(5n)], u64(big)],
    ["Div of unsigned", node("Div", ["x", "z"], ["y"]), [u64(big), u64(3n)], u64(big / 3n)],
    [
      "unsigned to float",
      node("Cast", ["x"], ["y"], { to: attr.int(11) }),
      [u64(2n ** 63n)],
      tensor("float64", [1], [2 ** 63]),
    ],
    [
      "BitShift",
      node("BitShift", ["x", "z"], ["y"], { direction: attr.string("RIGHT") }),
      [u64(big), u64(1n)],
      u64(2n ** 62n),
    ],
  ])("%s is exact", (_, n, inputs, expected) => {
    const got = evaluateNode(n, inputs)?.[0];
    expect([got?.dtype, got?.shape]).toEqual([expected.dtype, expected.shape]);
    expect(got!.bytes).toEqual(expected.bytes);
  });
});
