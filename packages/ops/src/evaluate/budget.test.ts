import {
  type Attribute,
  attr,
  type DType,
  type FunctionDef,
  graph,
  type Model,
  model,
  type Node,
  node,
  type ResidentTensor,
  tensor,
  value,
} from "@pare/core";
import { describe, expect, test } from "vitest";
import { evaluate, evaluateNode } from "../evaluate.ts";

const HUGE = 2 ** 40;
const ints = (...values: number[]) => tensor("int64", [values.length], values);
const scalar = (v: number, dtype: DType = "int64") => tensor(dtype, [], [v]);
const floats = (...values: number[]) => tensor("float32", [values.length], values);
const zeros = (...shape: number[]) => tensor("float32", shape, new Float32Array(shape.reduce((n, d) => n * d, 1)));

type Hostile = readonly [
  op: string,
  inputs: readonly (ResidentTensor | undefined)[],
  attributes?: Record<string, Attribute>,
];

/** Nodes of a few bytes that ask for more than there is. */
const nodes: readonly Hostile[] = [
  ["ConstantOfShape", [ints(10 ** 6, 10 ** 6)]],
  ["ConstantOfShape", [ints(HUGE, 0)]],
  ["Range", [scalar(0), scalar(HUGE), scalar(1)]],
  ["Range", [scalar(0, "float32"), scalar(1, "float32"), scalar(0, "float32")]],
  ["Range", [scalar(0, "float64"), scalar(1, "float64"), scalar(1e-300, "float64")]],
  ["Tile", [zeros(1, 1), ints(HUGE, 1)]],
  ["Expand", [zeros(1), ints(HUGE)]],
  ["Pad", [zeros(1), ints(HUGE, 0)]],
  ["Pad", [zeros(4), ints(HUGE, HUGE)], { mode: attr.string("reflect") }],
  ["CenterCropPad", [zeros(1), ints(HUGE)]],
  ["OneHot", [ints(1), scalar(HUGE), floats(0, 1)]],
  ["Resize", [zeros(1, 1, 2, 2), undefined, undefined, ints(1, 1, HUGE, HUGE)]],
  ["Resize", [zeros(1, 1, 2, 2), undefined, floats(1, 1, 1e30, 1)]],
  ["Resize", [zeros(1 << 20), undefined, floats(1e-6)], { mode: attr.string("cubic"), antialias: attr.int(1) }],
  ["MaxPool", [zeros(1, 1, 1)], { kernel_shape: attr.ints([HUGE]), pads: attr.ints([HUGE, HUGE]) }],
  ["AveragePool", [zeros(1, 1, 1)], { kernel_shape: attr.ints([1 << 16]), pads: attr.ints([1 << 20, 1 << 20]) }],
  ["MaxUnpool", [zeros(1, 1, 1), tensor("int64", [1, 1, 1], [0]), ints(1, 1, HUGE)], { kernel_shape: attr.ints([2]) }],
  ["Conv", [zeros(1, 1, 1), zeros(1, 1, 1)], { pads: attr.ints([HUGE, HUGE]) }],
  ["Conv", [zeros(1, 1, 1 << 19), zeros(1, 1, 1 << 18)]],
  ["Conv", [tensor("float32", [2 ** 36, 1, 0], []), tensor("float32", [0, 1, 1], [])], { pads: attr.ints([1, 1]) }],
  ["ConvTranspose", [zeros(1, 1, 1), zeros(1, 1, 1)], { output_shape: attr.ints([HUGE]) }],
  ["ConvTranspose", [zeros(1, 1, 1 << 18), zeros(1, 1, 1 << 18)]],
  ["LRN", [zeros(1, 1 << 17, 1)], { size: attr.int(1 << 17) }],
  ["Col2Im", [zeros(1, 0, 1), ints(1), ints(HUGE)]],
  ["AffineGrid", [zeros(1, 2, 3), ints(1, 1, HUGE, 2)]],
  ["RoiAlign", [zeros(1, 1, 2, 2), zeros(1, 4), ints(0)], { sampling_ratio: attr.int(HUGE) }],
  ["RoiAlign", [zeros(1, 1, 2, 2), zeros(1, 4), ints(0)], { output_height: attr.int(HUGE) }],
  ["MaxRoiPool", [zeros(1, 1, 2, 2), zeros(1, 5)], { pooled_shape: attr.ints([HUGE, 1]) }],
  ["NonMaxSuppression", [zeros(1, 1 << 16, 4), zeros(1, 1, 1 << 16), scalar(HUGE)]],
  ["MatMul", [zeros(1 << 22, 1), zeros(1, 1 << 22)]],
  ["MatMul", [zeros(1 << 11, 1 << 11), zeros(1 << 11, 1 << 11)]],
  ["Einsum", [zeros(512), zeros(512), zeros(512), zeros(512)], { equation: attr.string("a,b,c,d->") }],
  ["Attention", [zeros(1, 1, 1 << 20, 1), zeros(1, 1, 1 << 20, 1), zeros(1, 1, 1 << 20, 1)]],
  ["Attention", [zeros(1, 1, 1 << 20, 0), zeros(1, 1, 1 << 20, 0), zeros(1, 1, 1 << 20, 0)]],
  ["LSTM", [zeros(1, 1, 1), zeros(1, 4, 1), zeros(1, 4, 1)], { hidden_size: attr.int(HUGE) }],
  ["CausalConvWithState", [tensor("float32", [1 << 30, 1, 0], []), zeros(1, 1, 8)]],
  ["Gather", [zeros(1, 1 << 12), tensor("int64", [1 << 12], new BigInt64Array(1 << 12))]],
  ["GatherND", [zeros(1, 1 << 12), tensor("int64", [1 << 12, 1], new BigInt64Array(1 << 12))]],
  ["Split", [zeros(1 << 20)], { num_outputs: attr.int(1 << 20) }],
  ["HannWindow", [scalar(HUGE)]],
  ["MelWeightMatrix", [scalar(8), scalar(HUGE), scalar(8000), scalar(0, "float32"), scalar(4000, "float32")]],
  ["MelWeightMatrix", [scalar(8), scalar(HUGE), scalar(-1), scalar(0, "float32"), scalar(1e9, "float32")]],
  ["DFT", [zeros(1, 1 << 16, 1)]],
  ["DFT", [zeros(1, 2, 1), scalar(HUGE)]],
  ["STFT", [zeros(1, 1 << 18), scalar(1), undefined, scalar(1 << 12)]],
  [
    "TfIdfVectorizer",
    [tensor("int64", [1 << 18], new BigInt64Array(1 << 18))],
    {
      ...{ mode: attr.string("TF"), min_gram_length: attr.int(1), max_gram_length: attr.int(1 << 20) },
      ...{ ngram_counts: attr.ints([0]), ngram_indexes: attr.ints([0]), pool_int64s: attr.ints([1]) },
      max_skip_count: attr.int(1 << 20),
    },
  ],
];

const refused = expect.objectContaining({
  name: "PareError",
  code: expect.stringMatching(/^ops\/(too-large|too-long|shape|axis)$/),
});

test.each(nodes.map(([op, inputs, attributes], i) => [`${op} ${i}`, op, inputs, attributes] as const))(
  "%s is refused",
  (_, op, inputs, attributes) => {
    const n = node(
      op,
      inputs.map((t, i) => (t ? `x${i}` : "")),
      ["y"],
      attributes,
    );
    expect(() => evaluateNode(n, inputs)).toThrow(refused);
  },
);

describe("models that grow while they run are refused:", () => {
  const weights = new Map([
    ["much", ints(1 << 22)],
    ["true", scalar(1, "bool")],
    ["trips", tensor("int64", [], [2n ** 62n])],
    ["one", floats(1)],
  ]);
  const of = (nodes: readonly Node[], functions: readonly FunctionDef[] = []): Model =>
    model(graph({ weights, nodes, outputs: [{ name: nodes.at(-1)!.outputs[0]! }] }), { functions });
  /** A loop of 2^62 turns over `state`. */
  const endless = (body: readonly Node[], next: string): Node =>
    node("Loop", ["trips", "", "one"], ["end"], {
      body: attr.graph(
        graph({
          inputs: [value("i", "int64", []), value("go", "bool", []), { name: "state" }],
          nodes: [node("Identity", ["go"], ["on"]), ...body],
          outputs: [{ name: "on" }, { name: next }],
        }),
      ),
    });
  const chain = (count: number, make: (from: string, to: string) => Node) =>
    Array.from({ length: count }, (_, i) => make(i === 0 ? "one" : `v${i - 1}`, `v${i}`));
  const doubling = (from: string, to: string) => node("Concat", [from, from], [to], { axis: attr.int(0) });
  const nothing = new Map<string, never>();
  /** `f9` calls `f8` twice, and so on. */
  const functions = Array.from(
    { length: 40 },
    (_, k): FunctionDef => ({
      ...{ domain: "acme", name: `f${k}`, overload: "", attributes: [], defaults: nothing, opsets: nothing },
      body: graph({
        inputs: [{ name: "x" }],
        nodes: ["x", "y"].map((from, i) =>
          k === 0 ? node("Neg", [from], ["yz"[i]!]) : node(`f${k - 1}`, [from], ["yz"[i]!], {}, { domain: "acme" }),
        ),
        outputs: [{ name: "z" }],
      }),
    }),
  );
  const inner = endless([node("Identity", ["state"], ["next"])], "next");

  test.each<readonly [string, Model]>([
    ["a loop of 2^62 turns", of([inner])],
    ["loops inside loops", of([endless([{ ...inner, outputs: ["next"] }], "next")])],
    ["a loop that doubles what it carries", of([endless([doubling("state", "next")], "next")])],
    ["a chain of doublings", of(chain(64, doubling))],
    [
      "a sequence of sequences' elements",
      of([
        node("SequenceConstruct", ["one"], ["v"]),
        ...chain(64, (from, to) => node("SequenceInsert", [from === "one" ? "v" : from, "one"], [to])),
        node("ConstantOfShape", ["much"], ["big"]),
        node("SplitToSequence", ["big"], ["parts"], { axis: attr.int(0) }),
      ]),
    ],
    [
      "many large values at once",
      of([
        ...Array.from({ length: 8 }, (_, i) => node("ConstantOfShape", ["much"], [`c${i}`])),
        node(
          "Sum",
          Array.from({ length: 8 }, (_, i) => `c${i}`),
          ["sum"],
        ),
      ]),
    ],
    ["functions that call functions", of([node("f39", ["one"], ["y"], {}, { domain: "acme" })], functions)],
  ])("%s", async (_, m) => {
    await expect(evaluate(m, {})).rejects.toThrow(refused);
  });

  test("but not what lets go of large values, or has higher limits", async () => {
    const neg = (from: string, to: string) => node("Neg", [from === "one" ? "big" : from], [to]);
    const m = of([node("ConstantOfShape", ["much"], ["big"]), ...chain(6, neg), node("Shape", ["v5"], ["y"])]);
    await expect(evaluate(m, {}, { limits: { steps: 2 ** 31 } })).resolves.toMatchObject({ y: { shape: [1] } });
    await expect(evaluate(m, {}, { limits: { elements: 2 ** 22 } })).rejects.toThrow(refused);
  });
});
