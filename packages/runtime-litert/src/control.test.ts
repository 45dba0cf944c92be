import { attr, type Model, tensor, type Values } from "@pare/core";
import { evaluate } from "@pare/ops/evaluate";
import { numbersOf } from "@pare/ops/numeric";
import { buildGraph, type GraphBuilder, trainedLike } from "@pare/testing";
import { lowerToTflite, toCore } from "@pare/tflite";
import { expect, test } from "vitest";
import { litert } from "./index.node.ts";

const opsets = new Map([["", 27]]);
const wave = (shape: readonly number[], seed = 0) =>
  tensor(
    "float32",
    shape,
    Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => Math.sin(i * 0.7 + seed)),
  );
const bool = (v: boolean) => tensor("bool", [], [Number(v)]);
const count = (n: number) => tensor("int64", [], [n]);

/** LiteRT's answers to all inputs are those of the evaluator; gives the operators of all graphs. */
async function agrees(m: Model, ...inputs: readonly Values[]): Promise<readonly string[]> {
  const lowered = lowerToTflite(m);
  const session = await litert({ isolate: false }).prepare(toCore(lowered.model));
  try {
    for (const given of inputs) {
      const [got, expected] = [await session.run(given), await evaluate(m, given)];
      for (const [name, t] of Object.entries(expected)) {
        expect(got[name]!.shape).toEqual(t.shape);
        const numbers = numbersOf(got[name]!);
        for (const [i, v] of numbersOf(t).entries()) expect(Number(numbers[i])).toBeCloseTo(Number(v), 4);
      }
    }
  } finally {
    await session.close();
  }
  return lowered.model.graphs.flatMap((g) => g.operators.map((o) => String(o.code.builtin)));
}

/** Convolutions of the value around it, enough of them not to be computed in vain. */
function branch(x: string, prefix: string, seed: number) {
  const b = buildGraph(prefix);
  const conv = (v: string, k: number) =>
    b.op("Conv", [v, b.weight(trainedLike([3, 3, 3, 3], seed + k))], { pads: attr.ints([1, 1, 1, 1]) });
  b.output(b.op("Sigmoid", [conv(b.op("Relu", [conv(x, 0)]), 1)]));
  return attr.graph(b.graph(prefix));
}

test("one branch is run, by a condition that is known only then", async () => {
  const b = buildGraph();
  const condition = b.input("bool", [], "condition");
  const x = b.input("float32", [1, 3, 5, 4], "x");
  const outer = b.op("Tanh", [x]);
  const y = b.op("If", [condition], { then_branch: branch(outer, "a_", 1), else_branch: branch(x, "b_", 7) });
  b.output(b.op("Add", [y, outer]), "float32", [1, 3, 5, 4]);
  const inputs = [true, false].map((v) => ({ condition: bool(v), x: wave([1, 3, 5, 4]) }));
  expect(await agrees(b.model({ opsets }), ...inputs)).toContain("IF");
});

test("small branches are both computed", async () => {
  const b = buildGraph();
  const x = b.input("float32", [2, 3], "x");
  const part = (op: string) => {
    const inner = buildGraph(`${op}_`);
    inner.output(inner.op(op, [x]));
    return attr.graph(inner.graph(op));
  };
  const condition = b.input("bool", [], "condition");
  b.output(b.op("If", [condition], { then_branch: part("Relu"), else_branch: part("Neg") }), "float32", [2, 3]);
  const inputs = [true, false].map((v) => ({ condition: bool(v), x: wave([2, 3]) }));
  expect(await agrees(b.model({ opsets }), ...inputs)).not.toContain("IF");
});

/** A loop of a body that is built from the iteration number, the condition and the state; gives what it makes of the state. */
function loop(
  b: GraphBuilder,
  given: { readonly count?: string; readonly condition?: string; readonly state: string },
  make: (inner: GraphBuilder, number: string, condition: string, state: string) => readonly string[],
) {
  const inner = buildGraph("l_");
  const ends = [inner.input("int64", [], "l_i"), inner.input("bool", [], "l_c"), inner.input("float32", [2, 4], "l_s")];
  const outputs = make(inner, ...(ends as [string, string, string]));
  for (const name of outputs) inner.output(name);
  const inputs = [given.count ?? "", given.condition ?? "", given.state];
  return b.ops("Loop", inputs, outputs.length - 1, { body: attr.graph(inner.graph("body")) });
}

test("a loop runs as often as an input says, with values of its surroundings", async () => {
  const b = buildGraph();
  const [n, x] = [b.input("int64", [], "n"), b.input("float32", [2, 4], "x")];
  const w = b.op("Mul", [x, b.weight(tensor("float32", [], [0.1]))]);
  const [y] = loop(b, { count: n, state: x }, (inner, i, condition, state) => {
    const number = inner.op("Cast", [i], { to: attr.int(1) });
    const sum = inner.op("Add", [inner.op("Tanh", [state]), inner.op("Mul", [w, number])]);
    return [inner.op("Identity", [condition]), sum];
  });
  b.output(y!, "float32", [2, 4]);
  const inputs = [0, 1, 5].map((v) => ({ n: count(v), x: wave([2, 4]) }));
  expect(await agrees(b.model({ opsets }), ...inputs)).toContain("WHILE");
});

test("a loop ends when its body says so", async () => {
  const b = buildGraph();
  const [condition, x] = [b.input("bool", [], "condition"), b.input("float32", [2, 4], "x")];
  const [y] = loop(b, { condition, state: x }, (inner, _i, _condition, state) => {
    const next = inner.op("Mul", [state, inner.weight(tensor("float32", [], [1.5]))]);
    const most = inner.op("ReduceMax", [next], { keepdims: attr.int(0) });
    return [inner.op("Less", [most, inner.weight(tensor("float32", [], [20]))]), next];
  });
  b.output(y!, "float32", [2, 4]);
  const inputs = [true, false].map((v) => ({ condition: bool(v), x: wave([2, 4], 1) }));
  expect(await agrees(b.model({ opsets }), ...inputs)).toContain("WHILE");
});

test("a loop that is written out may cut by the number of its turn", async () => {
  const b = buildGraph();
  const x = b.input("float32", [2, 4], "x");
  const rows = b.input("float32", [3, 4], "rows");
  const [y] = loop(b, { count: b.weight(count(3)), state: x }, (inner, i, condition, state) => {
    const one = inner.weight(tensor("int64", [1], [1]));
    const from = inner.op("Reshape", [i, one]);
    const row = inner.op("Slice", [rows, from, inner.op("Add", [from, one]), inner.weight(tensor("int64", [1], [0]))]);
    return [inner.op("Identity", [condition]), inner.op("Add", [state, row])];
  });
  b.output(y!, "float32", [2, 4]);
  expect(await agrees(b.model({ opsets }), { x: wave([2, 4]), rows: wave([3, 4], 2) })).not.toContain("WHILE");
});

test.each([3, 300])("a loop of %i turns stacks what it gives", async (turns) => {
  const b = buildGraph();
  const x = b.input("float32", [2, 4], "x");
  const all = loop(b, { count: b.weight(count(turns)), state: x }, (inner, _i, condition, state) => {
    const next = inner.op("Sin", [inner.op("Add", [state, x])]);
    return [inner.op("Identity", [condition]), next, inner.op("ReduceSum", [next], { keepdims: attr.int(0) }), next];
  });
  b.output(all[0]!, "float32", [2, 4]);
  b.output(all[1]!, "float32", [turns]);
  b.output(all[2]!, "float32", [turns, 2, 4]);
  const operators = await agrees(b.model({ opsets }), { x: wave([2, 4]) });
  expect(operators.includes("WHILE")).toBe(turns > 256);
});

test.each([4, 300])("a scan over %i steps, from the end, along other axes", async (steps) => {
  const b = buildGraph();
  const [state, x] = [b.input("float32", [3], "state"), b.input("float32", [3, steps], "x")];
  const inner = buildGraph("s_");
  const [s, part] = [inner.input("float32", [3], "s_s"), inner.input("float32", [3], "s_x")];
  const next = inner.op("Tanh", [inner.op("Add", [s, part])]);
  inner.output(next);
  inner.output(inner.op("Neg", [next]));
  const [end, all] = b.ops("Scan", [state, x], 2, {
    body: attr.graph(inner.graph("body")),
    num_scan_inputs: attr.int(1),
    scan_input_axes: attr.ints([1]),
    scan_input_directions: attr.ints([1]),
    scan_output_axes: attr.ints([-1]),
    scan_output_directions: attr.ints([1]),
  });
  b.output(end!, "float32", [3]);
  b.output(all!, "float32", [3, steps]);
  const operators = await agrees(b.model({ opsets }), { state: wave([3]), x: wave([3, steps]) });
  expect(operators.includes("WHILE")).toBe(steps > 256);
});

test.each(["LSTM", "GRU", "RNN"])("a long sequence through %s in both directions", async (op) => {
  const [steps, batch, width, hidden] = [520, 2, 3, 2];
  const gates = { LSTM: 4, GRU: 3, RNN: 1 }[op]!;
  const b = buildGraph();
  const x = b.input("float32", [steps, batch, width], "x");
  const lengths = b.input("int32", [batch], "lengths");
  const weights = [
    [2, gates * hidden, width],
    [2, gates * hidden, hidden],
    [2, 2 * gates * hidden],
  ];
  const given = [x, ...weights.map((shape, i) => b.weight(trainedLike(shape, i))), lengths];
  const attributes = { hidden_size: attr.int(hidden), direction: attr.string("bidirectional") };
  const [y, last] = b.ops(op, given, 2, attributes);
  b.output(y!, "float32", [steps, 2, batch, hidden]);
  b.output(last!, "float32", [2, batch, hidden]);
  const inputs = { x: wave([steps, batch, width]), lengths: tensor("int32", [batch], [520, 300]) };
  expect(await agrees(b.model({ opsets }), inputs)).toContain("WHILE");
});
