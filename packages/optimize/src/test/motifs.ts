import { type Attribute, attr, type Model, type Tensor, tensor } from "@pare/core";
import { buildGraph, functionDef, type GraphBuilder, trainedLike } from "@pare/testing";

const C = 4;
const SIDE = 6;
const COLUMNS = 8;

/** Builds something that a pass is for on a value, and gives a value of the same type. */
type Motif = (m: Site) => string;

interface Site {
  readonly b: GraphBuilder;
  readonly x: string;
  /** A condition that is known only when the model runs. */
  readonly condition: string;
  /** A number below `count`. */
  choose(count: number): number;
  /** A constant as a weight or a `Constant` node. */
  constant(t: Tensor): string;
  /** A prefix for names of a graph inside. */
  prefix(): string;
}

const scalar = (v: number) => tensor("float32", [], [v]);
const ints = (...v: number[]) => tensor("int64", [v.length], v);
const one = (v: number) => tensor("int64", [], [v]);
const pads = { pads: attr.ints([1, 1, 1, 1]) };
const kernel = (extra: Record<string, Attribute> = {}) => ({ kernel_shape: attr.ints([3, 3]), ...extra });
const perm = (...axes: number[]) => ({ perm: attr.ints(axes) });

const conv = ({ b, x, constant, choose }: Site, attributes: Record<string, Attribute> = pads) => {
  const bias = choose(2) ? [constant(trainedLike([C], choose(50)))] : [];
  return b.op("Conv", [x, constant(trainedLike([C, C, 3, 3], choose(50))), ...bias], attributes);
};

/** `relu6(x + 3)`. */
const relu6 = ({ b, x, constant }: Site) =>
  b.op("Clip", [b.op("Add", [x, constant(scalar(3))]), constant(scalar(0)), constant(scalar(6))]);

/** Images [N, 4, 6, 6]. */
export const imageMotifs: Readonly<Record<string, Motif>> = {
  batchNorm(m) {
    const y = conv(m);
    const parts = [1, 2, 3].map((k) => m.constant(trainedLike([C], k)));
    return m.b.op("BatchNormalization", [y, ...parts, m.constant(tensor("float32", [C], [1, 0.5, 2, 1]))]);
  },
  transposedBatchNorm(m) {
    const y = m.b.op("ConvTranspose", [m.x, m.constant(trainedLike([C, C, 3, 3], 3))], pads);
    return m.b.op("Mul", [m.constant(tensor("float32", [C, 1, 1], [1, 2, 0.5, 1])), y]);
  },
  affine(m) {
    const op = ["Add", "Sub", "Mul", "Div"][m.choose(4)]!;
    const shapes = [[C, 1, 1], [1, C, 1, 1], [], [1]];
    const shape = shapes[m.choose(shapes.length)]!;
    const values = shape.includes(C) ? [1, 2, -0.5, 4] : [2];
    return m.b.op(op, [conv(m), m.constant(tensor("float32", shape, values))]);
  },
  padConv: (m) =>
    conv(
      { ...m, x: m.b.op("Pad", [m.x, m.constant(ints(0, 0, 1, 1, 0, 0, 1, 1))]) },
      { kernel_shape: attr.ints([3, 3]) },
    ),
  padPool(m) {
    const isMax = m.choose(2) === 1;
    const fill = isMax ? [m.constant(scalar(Number.NEGATIVE_INFINITY))] : [];
    const padded = m.b.op("Pad", [m.x, m.constant(ints(0, 0, 1, 1, 0, 0, 1, 1)), ...fill]);
    return m.b.op(isMax ? "MaxPool" : "AveragePool", [padded], kernel());
  },
  transposes(m) {
    const there = m.b.op("Transpose", [m.x], perm(0, 2, 3, 1));
    const middle = m.b.op("Transpose", [there], perm(0, 2, 1, 3));
    return m.b.op("Transpose", [middle], perm(0, 3, 2, 1));
  },
  transposedArithmetic(m) {
    const there = m.b.op("Transpose", [m.x], perm(0, 2, 3, 1));
    const other = m.b.op("Transpose", [m.b.op("Tanh", [m.x])], perm(0, 2, 3, 1));
    const shifted = m.b.op("Add", [there, m.constant(tensor("float32", [1, 1, 1, C], [1, 2, 3, 4]))]);
    const clipped = m.b.op("Clip", [m.b.op("Mul", [shifted, other]), m.constant(scalar(-9)), m.constant(scalar(9))]);
    return m.b.op("Transpose", [clipped], perm(0, 3, 1, 2));
  },
  shapeArithmetic(m) {
    const sizes = m.b.op("Shape", [m.x]);
    const batch = m.b.op("Gather", [sizes, m.constant(ints(0))]);
    const inner = m.b.op("Mul", [
      m.b.op("Gather", [sizes, m.constant(ints(2))]),
      m.b.op("Gather", [sizes, m.constant(ints(3))]),
    ]);
    const flat = m.b.op("Reshape", [m.x, m.b.op("Concat", [batch, m.constant(ints(C)), inner], { axis: attr.int(0) })]);
    return m.b.op("Reshape", [flat, m.constant(ints(0, 0, SIDE, SIDE))]);
  },
  reshapes(m) {
    const wide = m.b.op("Unsqueeze", [m.x, m.constant(ints(1))]);
    const flat = m.b.op("Flatten", [m.b.op("Relu", [wide])]);
    const narrow = m.b.op("Reshape", [flat, m.constant(ints(-1, 2, 2, 6, 6))]);
    return m.b.op("Reshape", [narrow, m.constant(ints(-1, C, SIDE, SIDE))]);
  },
  identities(m) {
    const { b, constant } = m;
    const all: ((x: string) => string)[] = [
      (x) => b.op("Identity", [x]),
      (x) => b.op("Dropout", [x]),
      (x) => b.op("Cast", [x], { to: attr.int(1) }),
      (x) => b.op("Concat", [x], { axis: attr.int(1) }),
      (x) => b.op("Mul", [x, constant(scalar(1))]),
      (x) => b.op("Add", [constant(scalar(0)), x]),
      (x) => b.op("Slice", [x, constant(ints(0)), constant(ints(2 ** 31 - 1)), constant(ints(2))]),
      (x) => b.op("Resize", [x, "", constant(tensor("float32", [4], [1, 1, 1, 1]))]),
      (x) => b.op("Expand", [x, constant(ints(1, C, 1, 1))]),
      (x) => b.op("Pad", [x, constant(ints(0, 0, 0, 0, 0, 0, 0, 0))]),
      // These look like identities, and are none.
      (x) => b.op("Slice", [x, constant(ints(-1)), constant(ints(-9)), constant(ints(2)), constant(ints(-1))]),
      (x) => b.op("Transpose", [x], perm(0, 1, 3, 2)),
      (x) => b.op("Pad", [x, constant(ints(0, 0, 1, 0, 0, 0, -1, 0))]),
      (x) => b.op("Resize", [x, "", constant(tensor("float32", [4], [1, 1, 1.1, 1]))]),
      (x) => b.op("Sub", [constant(scalar(0)), x]),
    ];
    return all[m.choose(all.length)]!(m.x);
  },
  common(m) {
    const seed = m.choose(50);
    const make = () => m.b.op("Conv", [m.x, m.constant(trainedLike([C, C, 3, 3], seed))], pads);
    return m.b.op("Sub", [m.b.op("Sigmoid", [make()]), m.b.op("Tanh", [make()])]);
  },
  hardSwish(m) {
    const { b, x, constant, choose } = m;
    const forms: (() => string)[] = [
      () => b.op("Div", [b.op("Mul", [x, relu6(m)]), constant(scalar(6))]),
      () => b.op("Mul", [b.op("Mul", [relu6(m), x]), constant(scalar(1 / 6))]),
      () => b.op("Mul", [x, b.op("Div", [relu6(m), constant(scalar(6))])]),
      () => b.op("Mul", [b.op("HardSigmoid", [x], { alpha: attr.float(1 / 6) }), x]),
      () => b.op("Mul", [b.op("HardSigmoid", [x]), x]),
      () => b.op("Div", [relu6(m), constant(scalar(6))]),
    ];
    return forms[choose(forms.length)]!();
  },
  knownBranch(m) {
    const { b, x } = m;
    const rank = b.op("Size", [b.op("Shape", [x])]);
    const isFour = b.op("Equal", [rank, m.constant(one(m.choose(2) ? 4 : 3))]);
    return b.op("If", [isFour], { then_branch: branch(m, "Relu"), else_branch: branch(m, "Neg") });
  },
  unknownBranch: (m) =>
    m.b.op("If", [m.condition], {
      then_branch: branch(m, "Sigmoid", () => m.b.op("Relu", [m.x])),
      else_branch: branch(m, "Tanh"),
    }),
};

/** A branch that works on the value around it, with an `If` of known condition inside. */
function branch(m: Site, op: string, before?: () => string) {
  before?.();
  const b = buildGraph(m.prefix());
  const known = b.weight(tensor("bool", [], [1]));
  const inside = (other: string) => {
    const c = buildGraph(m.prefix());
    c.output(c.op("Add", [c.op(other, [m.x]), c.weight(trainedLike([C, 1, 1], 9))]));
    return attr.graph(c.graph("inner"));
  };
  const y = b.op("If", [m.choose(2) ? known : b.op("Not", [known])], {
    then_branch: inside("Abs"),
    else_branch: inside("Relu"),
  });
  b.output(b.op(op, [b.op("Add", [y, b.op("Relu", [m.x])])]));
  return attr.graph(b.graph("branch"));
}

/** Matrices [N, 8]. */
export const matrixMotifs: Readonly<Record<string, Motif>> = {
  matMulAdd(m) {
    const product = m.b.op("MatMul", [m.x, m.constant(trainedLike([COLUMNS, COLUMNS], m.choose(50)))]);
    return m.b.op("Add", [m.constant(trainedLike([COLUMNS], 5)), product]);
  },
  scaledGemm(m) {
    const w = m.constant(trainedLike([COLUMNS, COLUMNS], m.choose(50)));
    const y = m.b.op("Gemm", [m.x, w], { transB: attr.int(m.choose(2)) });
    return m.b.op("Mul", [y, m.constant(trainedLike([1, COLUMNS], 6))]);
  },
  gelu(m) {
    const { b, x, constant } = m;
    const erf = b.op("Erf", [
      m.choose(2) ? b.op("Div", [x, constant(scalar(Math.SQRT2))]) : b.op("Mul", [x, constant(scalar(Math.SQRT1_2))]),
    ]);
    return halfTimes(m, erf);
  },
  geluTanh(m) {
    const { b, x, constant } = m;
    const cube = m.choose(2) ? b.op("Pow", [x, constant(scalar(3))]) : b.op("Mul", [b.op("Mul", [x, x]), x]);
    const inner = b.op("Add", [x, b.op("Mul", [cube, constant(scalar(0.044715))])]);
    return halfTimes(m, b.op("Tanh", [b.op("Mul", [inner, constant(scalar(Math.sqrt(2 / Math.PI)))])]));
  },
  layerNorm(m) {
    const { b, x, constant } = m;
    const axes = constant(ints(m.choose(2) ? -1 : 1));
    const d = b.op("Sub", [x, b.op("ReduceMean", [x, axes])]);
    const square = m.choose(2) ? b.op("Pow", [d, constant(scalar(2))]) : b.op("Mul", [d, d]);
    const variance = b.op("ReduceMean", [square, constant(ints(-1))]);
    const y = b.op("Div", [d, b.op("Sqrt", [b.op("Add", [variance, constant(scalar(1e-5))])])]);
    const scaled = b.op("Mul", [y, constant(trainedLike([COLUMNS], 7))]);
    return m.choose(2) ? b.op("Add", [scaled, constant(trainedLike([COLUMNS], 8))]) : scaled;
  },
  attention(m) {
    const { b, x, constant } = m;
    const heads = (seed: number) => {
      const y = b.op("Mul", [x, constant(trainedLike([COLUMNS], seed))]);
      return b.op("Transpose", [b.op("Reshape", [y, constant(ints(-1, 2, 2, 2))])], perm(0, 2, 1, 3));
    };
    const [q, k, v] = [heads(1), heads(2), heads(3)];
    const scores = b.op("MatMul", [q, b.op("Transpose", [k], perm(0, 1, 3, 2))]);
    const scaled = m.choose(2) ? b.op("Div", [scores, constant(scalar(1.5))]) : scores;
    const bias = m.choose(2) ? b.op("Add", [scaled, constant(trainedLike([2, 2], 4))]) : scaled;
    return b.op("Reshape", [b.op("MatMul", [b.op("Softmax", [bias]), v]), constant(ints(-1, COLUMNS))]);
  },
  foldedWeight(m) {
    const w = m.b.op("Transpose", [m.constant(trainedLike([COLUMNS, COLUMNS], 4))], perm(1, 0));
    const first = m.b.op("Slice", [w, m.constant(ints(0)), m.constant(ints(4)), m.constant(ints(0))]);
    const rest = m.b.op("Slice", [w, m.constant(ints(4)), m.constant(ints(8)), m.constant(ints(0))]);
    return m.b.op("MatMul", [m.x, m.b.op("Concat", [rest, first], { axis: attr.int(0) })]);
  },
  call: (m) => m.b.op("acme.Swish", [m.x]),
};

function halfTimes(m: Site, value: string): string {
  const { b, x, constant } = m;
  const sum = b.op("Add", [value, constant(scalar(1))]);
  const forms = [
    () => b.op("Mul", [b.op("Mul", [x, sum]), constant(scalar(0.5))]),
    () => b.op("Mul", [b.op("Mul", [x, constant(scalar(0.5))]), sum]),
    () => b.op("Mul", [x, b.op("Mul", [constant(scalar(0.5)), sum])]),
  ];
  return forms[m.choose(forms.length)]!();
}

/** The model that a tape of numbers means: some motifs in a row, on an image and on a matrix. */
export function motifModel(tape: readonly number[]): Model {
  let at = 0;
  let count = 0;
  const choose = (n: number) => (tape[at++] ?? 0) % n;
  const b = buildGraph();
  const condition = b.input("bool", [], "condition");
  let image = b.input("float32", ["N", C, SIDE, SIDE], "image");
  let matrix = b.input("float32", ["N", COLUMNS], "matrix");
  const site = (x: string): Site => ({
    b,
    x,
    condition,
    choose,
    constant: (t) => (choose(2) ? b.weight(t) : b.op("Constant", [], { value: attr.tensor(t) })),
    prefix: () => `g${count++}_`,
  });
  const pick = (motifs: Readonly<Record<string, Motif>>) => Object.values(motifs)[choose(Object.keys(motifs).length)]!;
  for (let n = 1 + choose(5); n > 0; n--) {
    if (choose(2)) image = pick(imageMotifs)(site(image));
    else matrix = pick(matrixMotifs)(site(matrix));
    if (choose(4) === 0) b.output(choose(2) ? image : matrix);
  }
  b.output(b.op("Neg", [image]));
  b.output(b.op("Neg", [matrix]));
  const opsets = new Map([["", 27]]);
  const body = buildGraph("f_");
  body.output(body.op("Mul", ["f_in", body.op("Sigmoid", ["f_in"])]));
  const swish = functionDef("acme", "Swish", { ...body.graph("swish"), inputs: [{ name: "f_in" }] }, opsets);
  return b.model({ opsets: new Map([...opsets, ["acme", 1]]), functions: [swish] });
}
