import { attr, graph, lazyTensor, model, type Node, node, type Tensor, tensor, value } from "@pare/core";
import { expect, test } from "vitest";
import { costOf } from "./cost.ts";

const weight = (...shape: number[]): Tensor =>
  lazyTensor({ dtype: "float32", shape, read: () => Promise.reject(new Error("weights need not be read")) });

/** VGG-16 as published (Simonyan and Zisserman 2014, configuration D). */
function vgg16(batch: number | string) {
  const nodes: Node[] = [];
  const weights = new Map<string, Tensor>();
  let [last, channels] = ["image", 3];
  const layer = (made: Node) => {
    nodes.push(made);
    last = made.outputs[0]!;
  };
  for (const [i, width] of [64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0].entries()) {
    if (width === 0) {
      layer(node("MaxPool", [last], [`p${i}`], { kernel_shape: attr.ints([2, 2]), strides: attr.ints([2, 2]) }));
      continue;
    }
    weights.set(`w${i}`, weight(width, channels, 3, 3)).set(`b${i}`, weight(width));
    layer(node("Conv", [last, `w${i}`, `b${i}`], [`c${i}`], { pads: attr.ints([1, 1, 1, 1]) }));
    layer(node("Relu", [last], [`r${i}`]));
    channels = width;
  }
  layer(node("Flatten", [last], ["flat"]));
  for (const [i, [from, to]] of [
    [25088, 4096],
    [4096, 4096],
    [4096, 1000],
  ].entries()) {
    weights.set(`fw${i}`, weight(to!, from!)).set(`fb${i}`, weight(to!));
    layer(node("Gemm", [last, `fw${i}`, `fb${i}`], [`f${i}`], { transB: attr.int(1) }));
  }
  return model(
    graph({ inputs: [value("image", "float32", [batch, 3, 224, 224])], nodes, weights, outputs: [{ name: last }] }),
  );
}

test("VGG-16 costs what its authors and torchvision say", () => {
  const cost = costOf(vgg16(1));
  expect(cost.macs).toBe(15_470_264_320);
  expect(cost.parameters).toBe(138_357_544);
  expect(cost.weightBytes).toBe(4 * 138_357_544);
  expect(cost.unknown).toEqual([]);
  expect(cost.nodes).toHaveLength(16);
  expect(cost.nodes[0]!.macs).toBe(224 * 224 * 64 * 64 * 9);
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
  expect(macsOf(node("Add", ["a", "b"], ["y"]), { a: [3], b: [3] })).toBe(0);
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
  const endless = model({
    ...main,
    nodes: [node("Loop", ["n", "", "x"], ["a"], { body: attr.graph(body) }, { name: "L" })],
  });
  expect(costOf(endless)).toMatchObject({ macs: 64, unknown: ["L"] });
});
