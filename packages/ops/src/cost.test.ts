import { attr, graph, model, type Node, node, type Tensor, tensor, value } from "@pare/core";
import { expect, test } from "vitest";
import { macRules } from "./cost/macs.ts";
import { costOf } from "./cost.ts";
import { operatorNames } from "./schema.ts";
import { mobilenetV2, resnet50, vgg16, weight } from "./test/networks.ts";

test("VGG-16 costs what its authors and torchvision say", () => {
  const cost = costOf(vgg16(1));
  expect(cost.macs).toBe(15_470_264_320);
  expect(cost.parameters).toBe(138_357_544);
  expect(cost.weightBytes).toBe(4 * 138_357_544);
  expect(cost.unknown).toEqual([]);
  expect(cost.nodes).toHaveLength(16);
  expect(cost.nodes[0]!.macs).toBe(224 * 224 * 64 * 64 * 9);
});

/** The multiply-accumulates that torchvision publishes with its weights, in millions. */
test.each([
  ["MobileNetV2", mobilenetV2(), 301],
  ["ResNet-50", resnet50(), 4089],
])("%s costs what torchvision says", (_, m, millions) => {
  const cost = costOf(m);
  expect(Math.round(cost.macs / 1e6)).toBe(millions);
  expect(cost.unknown).toEqual([]);
});

test("free dimensions leave the cost unknown until they are given", () => {
  const free = vgg16("N");
  expect(costOf(free).unknown).toHaveLength(16);
  expect(costOf(free).macs).toBe(0);
  expect(costOf(free, { inputs: new Map([["image", [2, 3, 224, 224]]]) }).macs).toBe(2 * 15_470_264_320);
});

const macsOf = (n: Node, inputs: Record<string, number[]>) => {
  const g = graph({
    inputs: Object.entries(inputs).map(([name, shape]) => value(name, "float32", shape)),
    nodes: [n],
    outputs: n.outputs.map((name) => ({ name })),
  });
  return costOf(model(g)).macs;
};

test("each operator by its formula", () => {
  const depthwise = node("Conv", ["x", "w"], ["y"], { group: attr.int(8), strides: attr.ints([2, 2]) });
  expect(macsOf(depthwise, { x: [1, 8, 9, 9], w: [8, 1, 3, 3] })).toBe(8 * 4 * 4 * 9);
  const up = node("ConvTranspose", ["x", "w"], ["y"], { strides: attr.ints([2, 2]) });
  expect(macsOf(up, { x: [1, 8, 5, 5], w: [8, 4, 2, 2] })).toBe(8 * 25 * 4 * 4);
  expect(macsOf(node("MatMul", ["a", "b"], ["y"]), { a: [3, 4, 5], b: [3, 5, 6] })).toBe(3 * 4 * 5 * 6);
  expect(macsOf(node("MatMul", ["a", "b"], ["y"]), { a: [5], b: [5] })).toBe(5);
  const lstm = node("LSTM", ["x", "w", "r"], ["y"], {
    hidden_size: attr.int(7),
    direction: attr.string("bidirectional"),
  });
  expect(macsOf(lstm, { x: [10, 2, 5], w: [2, 28, 5], r: [2, 28, 7] })).toBe(10 * 2 * 2 * 4 * 7 * (5 + 7));
  const equation = node("Einsum", ["a", "b"], ["y"], { equation: attr.string("...ij,...jk->...ik") });
  expect(macsOf(equation, { a: [3, 4, 5], b: [3, 5, 6] })).toBe(3 * 4 * 5 * 6);
  const heads = { q_num_heads: attr.int(4), kv_num_heads: attr.int(2) };
  const attention = node("Attention", ["q", "k", "v"], ["y"], heads);
  expect(macsOf(attention, { q: [2, 10, 32], k: [2, 12, 16], v: [2, 12, 16] })).toBe(2 * 4 * 10 * 12 * (8 + 8));
  const cached = node("Attention", ["q", "k", "v", "", "pk", "pv"], ["y", "nk", "nv"]);
  const head = (positions: number, features: number) => [2, 4, positions, features];
  expect(macsOf(cached, { q: head(3, 8), k: head(5, 8), v: head(5, 6), pk: head(7, 8), pv: head(7, 6) })).toBe(
    2 * 4 * 3 * (5 + 7) * (8 + 6),
  );
  const gru = node("GRU", ["x", "w", "r"], ["y"], { hidden_size: attr.int(7) });
  expect(macsOf(gru, { x: [10, 2, 5], w: [1, 21, 5], r: [1, 21, 7] })).toBe(10 * 2 * 3 * 7 * (5 + 7));
  const rnn = node("RNN", ["x", "w", "r"], ["y"], { hidden_size: attr.int(7) });
  expect(macsOf(rnn, { x: [10, 2, 5], w: [1, 7, 5], r: [1, 7, 7] })).toBe(10 * 2 * 7 * (5 + 7));
  const gemm = node("Gemm", ["a", "b"], ["y"], { transA: attr.int(1) });
  expect(macsOf(gemm, { a: [5, 4], b: [5, 6] })).toBe(4 * 5 * 6);
  const volume = node("Conv", ["x", "w"], ["y"]);
  expect(macsOf(volume, { x: [1, 2, 4, 5, 6], w: [3, 2, 2, 2, 2] })).toBe(3 * (3 * 4 * 5) * (2 * 8));
  const codes = node("QLinearConv", ["x", "s", "z", "w", "s", "z", "s", "z"], ["y"]);
  expect(macsOf(codes, { x: [1, 2, 5, 5], s: [], z: [], w: [3, 2, 3, 3] })).toBe(3 * 9 * (2 * 9));
  const linear = node("LinearAttention", ["q", "k", "v", "s"], ["y", "t"], {
    ...{ q_num_heads: attr.int(4), kv_num_heads: attr.int(2), update_rule: attr.string("delta") },
  });
  expect(macsOf(linear, { q: [2, 10, 32], k: [2, 10, 16], v: [2, 10, 12], s: [2, 2, 8, 6] })).toBe(
    2 * 10 * (4 + 2 * 2) * 8 * 6,
  );
  expect(macsOf(node("Add", ["a", "b"], ["y"]), { a: [3], b: [3] })).toBe(0);
});

test("what multiplies and accumulates are operators of the standard", () => {
  const names = new Set(operatorNames());
  expect([...macRules.keys()].filter((op) => !names.has(op))).toEqual([]);
});

test("loops count their turns, branches the costlier one", () => {
  const product = (k: number, weights?: Map<string, Tensor>) =>
    graph({
      ...(weights && { weights }),
      nodes: [node("MatMul", ["x", `w${k}`], [`y${k}`])],
      outputs: [{ name: `y${k}` }],
    });
  const body = graph({
    inputs: [value("i", "int64", []), value("go", "bool", []), value("s", "float32", [4, 4])],
    nodes: [node("Identity", ["go"], ["on"]), node("MatMul", ["s", "s"], ["t"])],
    outputs: [{ name: "on" }, { name: "t" }],
  });
  const main = graph({
    inputs: [value("x", "float32", [4, 4]), value("c", "bool", []), value("n", "int64", [])],
    weights: new Map<string, Tensor>([["five", tensor("int64", [], [5])]]),
    nodes: [
      node("Loop", ["five", "", "x"], ["a"], { body: attr.graph(body) }),
      node("If", ["c"], ["b"], {
        then_branch: attr.graph(product(1, new Map([["w1", weight(4, 100)]]))),
        else_branch: attr.graph(product(2, new Map([["w2", weight(4, 8)]]))),
      }),
    ],
    outputs: [{ name: "a" }, { name: "b" }],
  });
  const cost = costOf(model(main));
  expect(cost.macs).toBe(5 * 64 + 1600);
  expect(cost.nodes.map((n) => [n.node.op, n.macs])).toEqual([
    ["MatMul", 1600],
    ["MatMul", 320],
    ["MatMul", 0],
  ]);
  const whileTrue = model({
    ...main,
    weights: new Map([...main.weights, ["true", tensor("bool", [], [1])]]),
    nodes: [node("Loop", ["five", "true", "x"], ["a"], { body: attr.graph(body) })],
    outputs: [{ name: "a" }],
  });
  expect(costOf(whileTrue)).toMatchObject({ macs: 5 * 64, unknown: [] });
  const endless = model({
    ...main,
    nodes: [node("Loop", ["n", "", "x"], ["a"], { body: attr.graph(body) }, { name: "L" })],
  });
  expect(costOf(endless)).toMatchObject({ macs: 64, unknown: ["L"] });
});
