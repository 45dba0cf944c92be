import { type Attribute, attr, dataOf, graph, type Model, model, node, tensor, value, viewOf } from "@pare/core";
import { parse } from "@pare/core/parse";
import { afterEach, expect, test } from "vitest";
import { blockedConvolutions } from "./blocked.ts";
import { ort } from "./index.node.ts";
import type { OrtSession } from "./options.ts";

let sessions: OrtSession[] = [];
afterEach(async () => {
  await Promise.all(sessions.map((s) => s.close()));
  sessions = [];
});

const wave = (shape: readonly number[], seed: number) =>
  tensor(
    "float32",
    shape,
    Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => Math.sin(i * 12.9898 + seed)),
  );

interface Case {
  readonly x: readonly number[];
  readonly w: readonly number[];
  readonly bias?: boolean;
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** Whether it is worth blocks of 16 channels. */
  readonly blocks: boolean;
}

const ints = (...v: number[]) => attr.ints(v);
const cases: readonly Case[] = [
  { x: [2, 16, 5, 6], w: [32, 16, 3, 3], blocks: true },
  { x: [2, 20, 5, 6], w: [26, 20, 3, 3], bias: true, attributes: { pads: ints(1, 2, 0, 1) }, blocks: true },
  { x: [2, 18, 6, 6], w: [16, 18, 2, 3], attributes: { strides: ints(2, 1), dilations: ints(1, 2) }, blocks: true },
  { x: [3, 1, 7, 7], w: [20, 1, 5, 5], bias: true, blocks: true },
  { x: [1, 3, 8, 8], w: [16, 3, 3, 3], attributes: { auto_pad: attr.string("SAME_UPPER") }, blocks: true },
  { x: [2, 12, 6, 6], w: [12, 1, 3, 3], bias: true, attributes: { group: attr.int(12) }, blocks: true },
  { x: [2, 18, 6, 6], w: [18, 1, 3, 3], attributes: { group: attr.int(18), strides: ints(2, 2) }, blocks: true },
  { x: [2, 32, 5, 5], w: [32, 16, 3, 3], bias: true, attributes: { group: attr.int(2) }, blocks: true },
  { x: [2, 16, 5, 5], w: [32, 8, 3, 3], attributes: { group: attr.int(2) }, blocks: false },
  { x: [2, 4, 5, 5], w: [8, 1, 3, 3], attributes: { group: attr.int(4) }, blocks: false },
  { x: [2, 16, 5, 5], w: [3, 16, 3, 3], blocks: false },
  { x: [2, 16, 9], w: [16, 16, 3], blocks: false },
];

const convolution = ({ x, w, bias, attributes = {} }: Case): Model =>
  model(
    graph({
      inputs: [value("x", "float32", x), value("w", "float32", w), ...(bias ? [value("b", "float32", [w[0]!])] : [])],
      outputs: [value("y", "float32")],
      nodes: [node("Conv", ["x", "w", ...(bias ? ["b"] : [])], ["y"], attributes)],
    }),
  );

test.each(cases)("$x by $w", async (c) => {
  const m = convolution(c);
  const blocked = await blockedConvolutions(m, () => 16);
  expect(blocked.graph.nodes.some((n) => n.domain !== "")).toBe(c.blocks);
  const inputs = { x: wave(c.x, 1), w: wave(c.w, 2), ...(c.bias && { b: wave([c.w[0]!], 3) }) };
  const [plain, fast] = await Promise.all(
    [ort({ graphOptimization: "extended" }), ort()].map(async (runtime) => {
      const session = await runtime.prepare(m);
      sessions.push(session);
      return (await session.run(inputs))["y"]!;
    }),
  );
  expect(fast!.shape).toEqual(plain!.shape);
  const expected = dataOf(plain!) as Float32Array;
  const worst = (dataOf(fast!) as Float32Array).reduce((m, v, i) => Math.max(m, Math.abs(v - expected[i]!)), 0);
  expect(worst).toBeLessThan(1e-4);
});

test("weights that are constants are left to the engine", async () => {
  const m = convolution(cases[0]!);
  const constant = { ...m, graph: { ...m.graph, weights: new Map([["w", wave(cases[0]!.w, 1)]]) } };
  const { inputs } = m.graph;
  const held = { ...constant, graph: { ...constant.graph, inputs: inputs.filter((v) => v.name !== "w") } };
  expect(await blockedConvolutions(held, () => 16)).toBe(held);
});

test("weights that are decoded from integers are left to the engine, which computes in integers then", async () => {
  const m = parse(
    `main (x: float32[2,16,5,5]) => (y: float32) {
      codes: int8[32,16,3,3] = …  scale: float32[] = {0.1}
      w = DequantizeLinear(codes, scale)  y = Conv(x, w)
    }`,
    { weights: { codes: tensor("int8", [32, 16, 3, 3], new Int8Array(32 * 16 * 9)) } },
  );
  expect(await blockedConvolutions(m, () => 16)).toBe(m);
});

test("an engine without blocks takes the model as it is", async () => {
  const m = convolution(cases[0]!);
  expect(await blockedConvolutions(m, () => 1)).toBe(m);
  expect(viewOf(m).main.graph.nodes).toHaveLength(1);
});
