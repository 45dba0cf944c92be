import { attr, type Graph, graph, node, type ValueInfo, value } from "@pare/core";
import { bool, f32, i64, type ModelCase, modelCaseOf } from "./case.ts";

const float = (name: string, shape: readonly number[] = []): ValueInfo => value(name, "float32", shape);

/** Doubles `s` in each turn, and keeps it; `go` goes on while it is below a hundred. */
const doubling: Graph = graph({
  name: "doubling",
  inputs: [value("i", "int64", []), value("before", "bool", []), float("s", [1])],
  nodes: [
    node("Add", ["s", "s"], ["t"]),
    node("ReduceMax", ["t"], ["top"], { keepdims: attr.int(0) }),
    node("Less", ["top", "hundred"], ["go"]),
    node("Identity", ["t"], ["kept"]),
  ],
  outputs: [value("go", "bool", []), float("t", [1]), float("kept", [1])],
});

/** Adds up what it is given, and keeps each sum. */
const summing: Graph = graph({
  name: "summing",
  inputs: [float("s"), float("e")],
  nodes: [node("Add", ["s", "e"], ["t"]), node("Identity", ["t"], ["kept"])],
  outputs: [float("t"), float("kept")],
});

const branch = (op: string): Graph =>
  graph({ name: op, nodes: [node(op, ["x1", "x2"], [`${op}_y`])], outputs: [float(`${op}_y`, [2])] });

const halving: Graph = graph({
  name: "halving",
  inputs: [{ name: "e", type: { kind: "tensor", dtype: "float32" } }],
  nodes: [node("Mul", ["e", "half"], ["f"])],
  outputs: [{ name: "f", type: { kind: "tensor", dtype: "float32" } }],
});

const along = { axis: attr.int(0) };
const [a, b] = [f32([2], [1, -2]), f32([2], [3, 0.5])];

/** Control flow, and operators whose values are no tensors: several nodes each. */
export const graphCases: readonly ModelCase[] = [
  modelCaseOf("Constant", [node("Constant", [], ["y0"], { value_ints: attr.ints([3, -1]) })], [], [i64([2], [3, -1])]),
  ...[1, 0].map((c) =>
    modelCaseOf(
      `If ${c}`,
      [node("If", ["x0"], ["y0"], { then_branch: attr.graph(branch("Add")), else_branch: attr.graph(branch("Sub")) })],
      [bool([], [c]), a, b],
      [c ? f32([2], [4, -1.5]) : f32([2], [-2, -2.5])],
    ),
  ),
  ...(
    [
      [3, [8], [2, 4, 8]],
      [9, [128], [2, 4, 8, 16, 32, 64, 128]],
      [0, [1], []],
    ] as const
  ).map(([trips, last, all]) =>
    modelCaseOf(
      `Loop ${trips}`,
      [node("Loop", ["x0", "", "x1"], ["y0", "y1"], { body: attr.graph(doubling) })],
      [i64([], [trips]), f32([1], [1])],
      [f32([1], last), f32([all.length, 1], all)],
      { hundred: f32([], [100]) },
    ),
  ),
  ...[0, 1].map((backwards) =>
    modelCaseOf(
      `Scan ${backwards ? "backwards" : "forwards"}`,
      [
        node("Scan", ["x0", "x1"], ["y0", "y1"], {
          body: attr.graph(summing),
          num_scan_inputs: attr.int(1),
          scan_input_directions: attr.ints([backwards]),
        }),
      ],
      [f32([], [10]), f32([3], [1, 2, 3])],
      [f32([], [16]), f32([3], backwards ? [13, 15, 16] : [11, 13, 16])],
    ),
  ),
  modelCaseOf(
    "SequenceConstruct SequenceInsert SequenceErase SequenceAt SequenceLength",
    [
      node("SequenceConstruct", ["x0", "x1"], ["two"]),
      node("SequenceInsert", ["two", "x1", "first"], ["three"]),
      node("SequenceErase", ["three", "last"], ["rest"]),
      node("SequenceAt", ["rest", "last"], ["y0"]),
      node("SequenceLength", ["three"], ["y1"]),
    ],
    [a, b],
    [a, i64([], [3])],
    { first: i64([], [0]), last: i64([], [-1]) },
  ),
  modelCaseOf(
    "SequenceEmpty ConcatFromSequence",
    [
      node("SequenceEmpty", [], ["none"]),
      node("SequenceInsert", ["none", "x0"], ["one"]),
      node("SequenceInsert", ["one", "x1"], ["two"]),
      node("ConcatFromSequence", ["two"], ["y0"], along),
      node("ConcatFromSequence", ["two"], ["y1"], { axis: attr.int(1), new_axis: attr.int(1) }),
    ],
    [a, b],
    [f32([4], [1, -2, 3, 0.5]), f32([2, 2], [1, 3, -2, 0.5])],
  ),
  modelCaseOf(
    "SplitToSequence",
    [
      node("SplitToSequence", ["x0", "two"], ["pairs"], along),
      node("SequenceAt", ["pairs", "last"], ["y0"]),
      node("SplitToSequence", ["x0"], ["ones"], { ...along, keepdims: attr.int(0) }),
      node("SequenceAt", ["ones", "last"], ["y1"]),
    ],
    [f32([3], [1, 2, 3])],
    [f32([1], [3]), f32([], [3])],
    { two: i64([], [2]), last: i64([], [-1]) },
  ),
  modelCaseOf(
    "SequenceMap",
    [
      node("SequenceConstruct", ["x0", "x1"], ["two"]),
      node("SequenceMap", ["two"], ["halves"], { body: attr.graph(halving) }),
      node("ConcatFromSequence", ["halves"], ["y0"], along),
    ],
    [a, b],
    [f32([4], [0.5, -1, 1.5, 0.25])],
    { half: f32([], [0.5]) },
  ),
  modelCaseOf(
    "Optional OptionalHasElement OptionalGetElement",
    [
      node("Optional", ["x0"], ["some"]),
      node("OptionalHasElement", ["some"], ["y0"]),
      node("OptionalGetElement", ["some"], ["y1"]),
      node("OptionalHasElement", [""], ["y2"]),
    ],
    [a],
    [bool([], [1]), a, bool([], [0])],
  ),
];
