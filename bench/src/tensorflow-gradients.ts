/** Gradients of operators in TensorFlow.js, against those of the rules in float64. */
import { type Attribute, attr, graph, model, node, type ResidentTensor, tensor, type Values } from "@pare/core";
import { evaluate } from "@pare/ops/evaluate";
import { numbersOf } from "@pare/ops/numeric";
import { checkGradients } from "@pare/train/check";
import * as tf from "@tensorflow/tfjs";

interface Pair {
  readonly op: string;
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly shapes: readonly (readonly number[])[];
  /** Inputs that are no numbers to differentiate by. */
  readonly constants?: Readonly<Record<number, ResidentTensor>>;
  readonly positive?: boolean;
  /** The same with images that have channels last in the place of those that have them second. */
  readonly compute: (...x: tf.Tensor[]) => tf.Tensor;
}

const toLast = (x: tf.Tensor) => tf.transpose(x, [0, 2, 3, 1]) as tf.Tensor4D;
const toFirst = (x: tf.Tensor) => tf.transpose(x, [0, 3, 1, 2]);
const kernel = (w: tf.Tensor) => tf.transpose(w, [2, 3, 1, 0]) as tf.Tensor4D;
const unary = (op: string, compute: (x: tf.Tensor) => tf.Tensor, positive = false): Pair => ({
  op,
  shapes: [[3, 4]],
  compute,
  positive,
});
const binary = (op: string, compute: (x: tf.Tensor, y: tf.Tensor) => tf.Tensor, positive = false): Pair => ({
  op,
  shapes: [
    [2, 3, 4],
    [3, 1],
  ],
  compute,
  positive,
});
const ints = (...v: number[]) => attr.ints(v);
const i64 = (shape: number[], v: number[]) => tensor("int64", shape, v);

const pairs: readonly Pair[] = [
  unary("Exp", tf.exp),
  unary("Log", tf.log, true),
  unary("Sqrt", tf.sqrt, true),
  unary("Reciprocal", tf.reciprocal, true),
  unary("Sin", tf.sin),
  unary("Cos", tf.cos),
  unary("Tan", tf.tan),
  unary("Atan", tf.atan),
  unary("Sinh", tf.sinh),
  unary("Cosh", tf.cosh),
  unary("Tanh", tf.tanh),
  unary("Asinh", tf.asinh),
  unary("Erf", tf.erf),
  unary("Abs", tf.abs),
  unary("Neg", tf.neg),
  unary("Relu", tf.relu),
  unary("Sigmoid", tf.sigmoid),
  unary("Softplus", tf.softplus),
  unary("Elu", tf.elu),
  unary("Selu", tf.selu),
  unary("LeakyRelu", (x) => tf.leakyRelu(x, 0.01)),
  binary("Add", tf.add),
  binary("Sub", tf.sub),
  binary("Mul", tf.mul),
  binary("Div", tf.div, true),
  binary("Pow", tf.pow, true),
  // Its gradients of these do not broadcast.
  {
    ...binary("Max", tf.maximum),
    shapes: [
      [3, 4],
      [3, 4],
    ],
  },
  {
    ...binary("Min", tf.minimum),
    shapes: [
      [3, 4],
      [3, 4],
    ],
  },
  {
    op: "MatMul",
    shapes: [
      [3, 4],
      [4, 2],
    ],
    compute: (x, y) => tf.matMul(x, y),
  },
  {
    op: "MatMul",
    shapes: [
      [2, 3, 4],
      [2, 4, 5],
    ],
    compute: (x, y) => tf.matMul(x, y),
  },
  {
    op: "Gemm",
    attributes: { transB: attr.int(1) },
    shapes: [[3, 4], [5, 4], [5]],
    compute: (x, y, b) => tf.add(tf.matMul(x, y, false, true), b!),
  },
  { op: "Softmax", shapes: [[3, 5]], compute: (x) => tf.softmax(x) },
  { op: "LogSoftmax", shapes: [[3, 5]], compute: (x) => tf.logSoftmax(x) },
  {
    op: "ReduceSum",
    attributes: { keepdims: attr.int(0) },
    shapes: [[2, 3, 4]],
    constants: { 1: i64([1], [1]) },
    compute: (x) => tf.sum(x, 1),
  },
  {
    op: "ReduceMean",
    attributes: { keepdims: attr.int(0) },
    shapes: [[2, 3, 4]],
    constants: { 1: i64([1], [2]) },
    compute: (x) => tf.mean(x, 2),
  },
  {
    op: "ReduceMax",
    attributes: { keepdims: attr.int(0) },
    shapes: [[2, 3, 4]],
    constants: { 1: i64([1], [2]) },
    compute: (x) => tf.max(x, 2),
  },
  { op: "CumSum", shapes: [[3, 4]], constants: { 1: i64([], [1]) }, compute: (x) => tf.cumsum(x, 1) },
  {
    op: "Transpose",
    attributes: { perm: ints(2, 0, 1) },
    shapes: [[2, 3, 4]],
    compute: (x) => tf.transpose(x, [2, 0, 1]),
  },
  {
    op: "Concat",
    attributes: { axis: attr.int(1) },
    shapes: [
      [2, 3],
      [2, 2],
    ],
    compute: (x, y) => tf.concat([x, y], 1),
  },
  {
    op: "Gather",
    attributes: { axis: attr.int(1) },
    shapes: [[2, 4, 3]],
    constants: { 1: i64([3], [1, 1, 3]) },
    compute: (x) => tf.gather(x, tf.tensor1d([1, 1, 3], "int32"), 1),
  },
  {
    op: "Pad",
    shapes: [[2, 3]],
    constants: { 1: i64([4], [1, 0, 0, 2]) },
    compute: (x) =>
      tf.pad(x, [
        [1, 0],
        [0, 2],
      ]),
  },
  { op: "Tile", shapes: [[2, 3]], constants: { 1: i64([2], [2, 1]) }, compute: (x) => tf.tile(x, [2, 1]) },
  {
    op: "Slice",
    shapes: [[4, 5]],
    constants: { 1: i64([2], [1, 0]), 2: i64([2], [3, 4]) },
    compute: (x) => tf.slice(x, [1, 0], [2, 4]),
  },
  {
    op: "Conv",
    attributes: { pads: ints(1, 1, 1, 1), strides: ints(2, 2) },
    shapes: [
      [2, 3, 7, 7],
      [4, 3, 3, 3],
    ],
    compute: (x, w) => toFirst(tf.conv2d(toLast(x), kernel(w!), 2, 1)),
  },
  {
    op: "Conv",
    attributes: { group: attr.int(3), pads: ints(1, 1, 1, 1) },
    shapes: [
      [2, 3, 6, 5],
      [3, 1, 3, 3],
    ],
    compute: (x, w) => toFirst(tf.depthwiseConv2d(toLast(x), tf.transpose(w!, [2, 3, 0, 1]) as tf.Tensor4D, 1, "same")),
  },
  {
    op: "MaxPool",
    attributes: { kernel_shape: ints(2, 2), strides: ints(2, 2) },
    shapes: [[2, 3, 6, 4]],
    compute: (x) => toFirst(tf.maxPool(toLast(x), 2, 2, "valid")),
  },
  {
    // Without padding, which its gradient counts and its forward does not.
    op: "AveragePool",
    attributes: { kernel_shape: ints(3, 3), strides: ints(2, 2) },
    shapes: [[2, 3, 7, 5]],
    compute: (x) => toFirst(tf.avgPool(toLast(x), 3, 2, "valid")),
  },
];

/** The largest difference of each operator's gradients, relative to the largest element of the gradient. */
export async function tensorflowGradients(signal: AbortSignal): Promise<[op: string, error: number][]> {
  await tf.setBackend("cpu");
  const results: [string, number][] = [];
  for (const p of pairs) results.push([p.op, await compare(p, signal)]);
  return results;
}

async function compare(
  { op, attributes = {}, shapes, constants = {}, positive, compute }: Pair,
  signal: AbortSignal,
): Promise<number> {
  const inputs = shapes.map((shape, k) => {
    const values = Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => {
      const v = Math.sin(1.3 + 2.7 * i + k + 0.01 * i * i);
      return positive ? 1.2 + v / 2 : v;
    });
    return tensor("float32", shape, values);
  });
  const names = [...inputs.map((_, i) => `x${i}`)];
  const weights = new Map(Object.entries(constants).map(([i, t]) => [`x${i}`, t]));
  const all = Array.from({ length: inputs.length + weights.size }, (_, i) => `x${i}`);
  const m = model(
    graph({
      inputs: inputs.map(({ dtype, shape }, i) => ({ name: names[i]!, type: { kind: "tensor", dtype, shape } })),
      weights,
      nodes: [node(op, all, ["y"], attributes)],
      outputs: [{ name: "y" }],
    }),
  );
  const given: Values = Object.fromEntries(inputs.map((t, i) => [names[i]!, t]));
  const checked = await checkGradients(m, given, { elements: 1, signal });
  const factors = checked.model.graph.weights.get("loss_weights")!;
  const ours = await evaluate(checked.model, await doubles(given), {
    outputs: [...checked.gradients.values()],
    signal,
  });
  const x = inputs.map((t) => array(t));
  const dy = array(factors as ResidentTensor);
  const theirs = tf.grads((...v: tf.Tensor[]) => compute(...v))(x, dy);
  return Math.max(
    ...theirs.map((t, i) => {
      const [a, b] = [numbersOf(ours[checked.gradients.get(names[i]!)!]!), t.dataSync()];
      const largest = a.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-6);
      return a.reduce((worst, v, k) => Math.max(worst, Math.abs(v - b[k]!) / largest), 0);
    }),
  );
}

const array = (t: ResidentTensor) => tf.tensor(Float32Array.from(numbersOf(t)), [...t.shape], "float32");

const doubles = async (values: Values): Promise<Values> =>
  Object.fromEntries(
    Object.entries(values).map(([name, t]) => [name, tensor("float64", t.shape, Float64Array.from(numbersOf(t)))]),
  );
