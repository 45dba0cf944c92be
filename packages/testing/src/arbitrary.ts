import { attr, type DType, IR_OPSET, type Model, type Tensor, tensor } from "@pare/core";
import { buildGraph, functionDef, type GraphBuilder } from "@pare/ops/build";
import * as fc from "fast-check";
import { trainedLike } from "./models.ts";

export interface ArbitraryModelOptions {
  /** Most operations in a graph. Default 10. */
  readonly size?: number;
  /** Most levels of branches. Default 2. */
  readonly depth?: number;
  /** Operators of the domain `acme` that no one knows, and a function. Default true. */
  readonly foreign?: boolean;
}

const STORED: readonly DType[] = [
  "float32",
  "float64",
  "float16",
  "bfloat16",
  "int8",
  "uint8",
  "int4",
  "int32",
  "int64",
  "bool",
];

/**
 * Well-formed models that a runtime could run, unless they have operators of `acme`: convolutions, matrix products,
 * elementwise operators and reductions of images and matrices, initializers and `Constant` nodes of many element types,
 * branches within branches that capture values, a function. Shrinks to fewer operations.
 * @example fc.assert(fc.asyncProperty(arbitraryModel(), async (model) => { … }))
 */
export const arbitraryModel = (options: ArbitraryModelOptions = {}): fc.Arbitrary<Model> =>
  fc.array(fc.nat(9999), { minLength: 10, maxLength: 150 }).map((tape) => modelFromTape(tape, options));

/** The model that a tape of numbers means; at the end of the tape all choices are the first. */
export function modelFromTape(tape: readonly number[], options: ArbitraryModelOptions = {}): Model {
  const { size = 10, depth = 2, foreign = true } = options;
  let at = 0;
  const choose = (count: number) => (tape[at++] ?? 0) % count;
  const b = buildGraph();
  const scope: Scope = {
    images: [b.input("float32", [1, CHANNELS, 6, 6], "image")],
    matrices: [b.input("float32", [ROWS, COLUMNS], "matrix")],
    condition: b.input("bool", [], "condition"),
  };
  fill(b, scope, { choose, size, depth, foreign, path: "" });
  b.output(last(scope.images), "float32", [1, CHANNELS, 6, 6]);
  b.output(last(scope.matrices), "float32", [ROWS, COLUMNS]);
  const opsets = new Map([["", IR_OPSET]]);
  if (!foreign) return b.model({ opsets });
  const body = buildGraph("f_");
  body.output(body.op("Mul", ["f_in", body.op("Sigmoid", ["f_in"])]));
  const swish = functionDef("acme", "Swish", { ...body.graph("swish"), inputs: [{ name: "f_in" }] }, opsets);
  return b.model({ opsets: new Map([...opsets, ["acme", 1]]), functions: [swish] });
}

const CHANNELS = 4;
const ROWS = 3;
const COLUMNS = 8;

interface Scope {
  readonly images: string[];
  readonly matrices: string[];
  readonly condition: string;
}

interface Choices {
  readonly choose: (count: number) => number;
  readonly size: number;
  readonly depth: number;
  readonly foreign: boolean;
  readonly path: string;
}

const last = (list: readonly string[]) => list[list.length - 1]!;

function fill(b: GraphBuilder, scope: Scope, c: Choices): void {
  const { choose } = c;
  const pick = (list: readonly string[]) => list[list.length - 1 - choose(list.length)]!;
  const constant = (t: Tensor) => (choose(2) ? b.weight(t) : b.op("Constant", [], { value: attr.tensor(t) }));
  const image = (v: string) => void scope.images.push(v);
  const matrix = (v: string) => void scope.matrices.push(v);
  for (let n = 1 + choose(c.size); n > 0; n--) {
    const seed = choose(50);
    switch (choose(12)) {
      case 0:
        matrix(b.op("Relu", [pick(scope.matrices)]));
        break;
      case 1:
        image(
          b.op(
            "Conv",
            [
              pick(scope.images),
              constant(trainedLike([CHANNELS, CHANNELS, 3, 3], seed)),
              constant(trainedLike([CHANNELS], seed)),
            ],
            { pads: attr.ints([1, 1, 1, 1]) },
          ),
        );
        break;
      case 2:
        image(
          b.op("Conv", [pick(scope.images), constant(trainedLike([CHANNELS, 1, 3, 3], seed))], {
            pads: attr.ints([1, 1, 1, 1]),
            group: attr.int(CHANNELS),
          }),
        );
        break;
      case 3:
        matrix(b.op("MatMul", [pick(scope.matrices), constant(trainedLike([COLUMNS, COLUMNS], seed))]));
        break;
      case 4:
        matrix(
          b.op(
            "Gemm",
            [
              pick(scope.matrices),
              constant(trainedLike([COLUMNS, COLUMNS], seed)),
              constant(trainedLike([COLUMNS], seed)),
            ],
            { transB: attr.int(choose(2)) },
          ),
        );
        break;
      case 5: {
        const spread = tensor("float32", [CHANNELS], [1, 0.5, 2, 1]);
        const parts = [1, 2, 3].map((k) => constant(trainedLike([CHANNELS], seed + k)));
        image(b.op("BatchNormalization", [pick(scope.images), ...parts, constant(spread)]));
        break;
      }
      case 6:
        matrix(b.op(["Add", "Mul", "Sub", "Max"][choose(4)]!, [pick(scope.matrices), pick(scope.matrices)]));
        break;
      case 7:
        image(b.op(["Identity", "Sigmoid", "Tanh", "Dropout"][choose(4)]!, [pick(scope.images)]));
        break;
      case 8: {
        // A constant of any element type, cast to float32.
        const dtype = STORED[choose(STORED.length)]!;
        const stored = constant(
          tensor(
            dtype,
            [COLUMNS],
            Array.from({ length: COLUMNS }, (_, i) => (dtype === "bool" ? i % 2 : i)),
          ),
        );
        matrix(b.op("Add", [pick(scope.matrices), b.op("Cast", [stored], { to: attr.int(1) })]));
        break;
      }
      case 9:
        matrix(b.op("Clip", [pick(scope.matrices), "", constant(tensor("float32", [], [choose(6)]))]));
        break;
      case 10:
        if (c.foreign) matrix(b.op(choose(2) ? "acme.FusedGelu" : "acme.Swish", [pick(scope.matrices)]));
        else matrix(b.op("Softmax", [pick(scope.matrices)], { axis: attr.int(-1) }));
        break;
      case 11:
        if (c.depth > 0)
          matrix(
            b.op("If", [scope.condition], {
              then_branch: branch(scope, c, `${n}t`),
              else_branch: branch(scope, c, `${n}e`),
            }),
          );
        break;
    }
  }
}

function branch(scope: Scope, c: Choices, part: string) {
  const path = `${c.path}${part}_`;
  const b = buildGraph(path);
  const inner = { ...scope, images: [...scope.images], matrices: [...scope.matrices] };
  fill(b, inner, { ...c, depth: c.depth - 1, size: Math.max(1, Math.floor(c.size / 2)), path });
  const made = last(inner.matrices);
  // A branch gives out a value of its own.
  b.output(made === last(scope.matrices) ? b.op("Neg", [made]) : made);
  return attr.graph(b.graph(path));
}
