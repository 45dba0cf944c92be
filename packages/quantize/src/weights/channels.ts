import {
  constantOf,
  type Dim,
  dataOf,
  intAttribute,
  type Model,
  type Node,
  operatorOf,
  type ResidentTensor,
  viewOf,
} from "@pare/core";
import type { Types } from "@pare/ops/infer";

/** Where an operator's weight has input and output channels. */
export interface ChannelLayout {
  /** Channel of the operator's input, and of its output, that an element of the weight belongs to. */
  readonly input: (index: number) => number;
  readonly output: (index: number) => number;
  readonly inputs: number;
  readonly outputs: number;
}

/** An operator with a constant weight, between two sets of channels. */
export interface ChannelOperator {
  readonly node: Node;
  readonly weight: string;
  readonly bias: string | undefined;
  readonly layout: ChannelLayout;
  /** Value whose channels go in, and the one whose channels come out. */
  readonly reads: string;
  readonly writes: string;
}

/**
 * Values whose channels must be scaled alike, because only operators that multiply through (`f(s x) = s f(x)` for s > 0)
 * and additions stand between them.
 */
export interface ChannelSet {
  readonly channels: number;
  readonly producers: readonly ChannelOperator[];
  /** With how many neighbouring input channels of the operator belong to one channel of the set: more than 1 after Flatten. */
  readonly consumers: readonly { readonly operator: ChannelOperator; readonly block: number }[];
}

/** Operators that multiply through, channel by channel, at their first input. */
const homogeneous = new Set([
  ...["Relu", "LeakyRelu", "Identity", "Dropout", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"],
  ...["Squeeze", "Flatten", "Reshape", "Abs", "Neg"],
]);
/** Of these only those that take each channel by itself, or all that follow the channel axis as one block. */
const reshaping = new Set(["Flatten", "Reshape", "Squeeze"]);

/**
 * Sets of channels of the main graph that can be scaled without changing what the model computes: written only by operators
 * with constant weights and read only by such.
 */
export function channelSets(model: Model, types: Types): ChannelSet[] {
  const { main } = viewOf(model);
  const up = new Map<string, string>();
  const find = (v: string): string => {
    const next = up.get(v) ?? v;
    if (next === v) return v;
    const root = find(next);
    up.set(v, root);
    return root;
  };
  const join = (a: string, b: string) => void up.set(find(a), find(b));
  const poisoned = new Set<string>();
  /** Elements of the channel axis of a value that belong to one channel of its set. */
  const blocks = new Map<string, number>();
  const shapeOf = (v: string): readonly Dim[] | undefined => {
    const type = types.of(main, v);
    return type?.kind === "tensor" ? type.shape : undefined;
  };
  const operators: ChannelOperator[] = [];
  const inner = new Set(main.children.flatMap((child) => [...readsInside(child.graph.nodes)]));

  for (const node of main.graph.nodes) {
    const operator = channelOperator(model, node, shapeOf);
    // Channels of a product of more dimensions are its last axis, not axis 1.
    if (operator && (operator.node.op !== "MatMul" || shapeOf(operator.reads)?.length === 2)) {
      operators.push(operator);
      continue;
    }
    const [from] = node.inputs;
    const to = node.outputs[0];
    if (node.domain === "" && from !== undefined && to !== undefined) {
      if (homogeneous.has(node.op) && !node.outputs[1] && isAxisKept(node, shapeOf(from), shapeOf(to))) {
        join(from, to);
        const before = blocks.get(from) ?? 1;
        blocks.set(to, reshaping.has(node.op) ? before * ratio(shapeOf(from), shapeOf(to)) : before);
        continue;
      }
      const second = node.inputs[1]!;
      if (
        node.op === "Add" &&
        !main.constant(from) &&
        !main.constant(second) &&
        sameShape(shapeOf(from), shapeOf(second))
      ) {
        join(from, second);
        join(from, to);
        continue;
      }
    }
    for (const v of [...node.inputs, ...node.outputs]) poisoned.add(v);
  }
  for (const v of [...main.graph.inputs, ...main.graph.outputs]) poisoned.add(v.name);
  for (const v of inner) poisoned.add(v);

  const bad = new Set([...poisoned].map(find));
  const sets = new Map<
    string,
    { producers: ChannelOperator[]; consumers: { operator: ChannelOperator; block: number }[] }
  >();
  const setOf = (v: string) => {
    const root = find(v);
    let made = sets.get(root);
    if (!made) sets.set(root, (made = { producers: [], consumers: [] }));
    return made;
  };
  for (const operator of operators) {
    setOf(operator.writes).producers.push(operator);
    setOf(operator.reads).consumers.push({ operator, block: blocks.get(operator.reads) ?? 1 });
  }
  return [...sets].flatMap(([root, { producers, consumers }]) => {
    const channels = producers[0]?.layout.outputs ?? 0;
    const fits =
      !bad.has(root) &&
      producers.length > 0 &&
      consumers.length > 0 &&
      producers.every((p) => p.layout.outputs === channels) &&
      consumers.every(({ operator, block }) => operator.layout.inputs === channels * block);
    return fits ? [{ channels, producers, consumers }] : [];
  });
}

/** Operators of the main graph with a constant weight of known channels. */
export function channelOperators(model: Model, types: Types): ChannelOperator[] {
  const { main } = viewOf(model);
  const shapeOf = (v: string) => {
    const type = types.of(main, v);
    return type?.kind === "tensor" ? type.shape : undefined;
  };
  return main.graph.nodes.flatMap((n) => channelOperator(model, n, shapeOf) ?? []);
}

function* readsInside(nodes: readonly Node[]): Generator<string> {
  for (const n of nodes) {
    yield* n.inputs;
    for (const a of n.attributes.values())
      if (a.type === "graph") {
        yield* readsInside(a.value.nodes);
        for (const o of a.value.outputs) yield o.name;
      }
  }
}

function channelOperator(
  model: Model,
  node: Node,
  shapeOf: (v: string) => readonly Dim[] | undefined,
): ChannelOperator | undefined {
  const { main } = viewOf(model);
  const op = operatorOf(node);
  const [reads, weight = "", bias = ""] = node.inputs;
  if (reads === undefined || !["Conv", "ConvTranspose", "Gemm", "MatMul"].includes(op)) return undefined;
  const tensor = main.constant(weight);
  // A tied weight cannot be scaled in one place only.
  if (tensor?.dtype !== "float32" || main.constant(reads) || main.uses(weight).length !== 1 || main.isOutput(weight))
    return undefined;
  if (bias !== "" && (constantOf(main, bias)?.dtype !== "float32" || main.uses(bias).length !== 1)) return undefined;
  const { shape } = tensor;
  const rank = shapeOf(reads)?.length;
  const layout =
    op === "Conv"
      ? convLayout(shape, intAttribute(node, "group", 1))
      : op === "ConvTranspose"
        ? transposedLayout(shape, intAttribute(node, "group", 1))
        : op === "MatMul"
          ? shape.length === 2 && rank !== undefined && rank >= 2
            ? matrixLayout(shape, false)
            : undefined
          : intAttribute(node, "transA", 0) === 0 && (bias === "" || main.constant(bias)!.shape.length === 1)
            ? matrixLayout(shape, intAttribute(node, "transB", 0) === 1)
            : undefined;
  return layout && { node, weight, bias: bias || undefined, layout, reads, writes: node.outputs[0]! };
}

function convLayout([out = 0, perGroup = 0, ...kernel]: readonly number[], group: number): ChannelLayout {
  const size = kernel.reduce((n, d) => n * d, 1);
  const outputs = out / group;
  return {
    inputs: perGroup * group,
    outputs: out,
    output: (i) => Math.floor(i / (perGroup * size)),
    input: (i) =>
      Math.floor(Math.floor(i / (perGroup * size)) / outputs) * perGroup + (Math.floor(i / size) % perGroup),
  };
}

function transposedLayout([inputs = 0, perGroup = 0, ...kernel]: readonly number[], group: number): ChannelLayout {
  const size = kernel.reduce((n, d) => n * d, 1);
  const ofGroup = inputs / group;
  return {
    inputs,
    outputs: perGroup * group,
    input: (i) => Math.floor(i / (perGroup * size)),
    output: (i) =>
      Math.floor(Math.floor(i / (perGroup * size)) / ofGroup) * perGroup + (Math.floor(i / size) % perGroup),
  };
}

function matrixLayout([rows = 0, columns = 0]: readonly number[], transposed: boolean): ChannelLayout {
  const row = (i: number) => Math.floor(i / columns);
  const column = (i: number) => i % columns;
  return transposed
    ? { inputs: columns, outputs: rows, input: column, output: row }
    : { inputs: rows, outputs: columns, input: row, output: column };
}

const sameShape = (a: readonly Dim[] | undefined, b: readonly Dim[] | undefined) =>
  a !== undefined && b !== undefined && a.length === b.length && a.every((d, i) => d !== null && d === b[i]);

/** Whether each index of axis 1 of the output holds elements of one index of axis 1 of the input only. */
function isAxisKept(node: Node, from: readonly Dim[] | undefined, to: readonly Dim[] | undefined): boolean {
  if (node.op === "AveragePool" || node.op === "MaxPool" || node.op.startsWith("Global"))
    return (from?.length ?? 0) >= 3;
  if (!reshaping.has(node.op)) return true;
  // From [N, C, …] to [N, C * …]: rows of the batch stay, and each channel becomes a block.
  if (!from || !to || to.length !== 2 || from.length < 2 || from[0] === null || from[0] !== to[0]) return false;
  return from.slice(1).every((d) => typeof d === "number") && typeof to[1] === "number";
}

function ratio(from: readonly Dim[] | undefined, to: readonly Dim[] | undefined): number {
  return Number(to![1]) / Number(from![1]);
}

/** Numbers of a bias in memory. */
export const biasOf = (model: Model, name: string): Float32Array =>
  dataOf(constantOf(viewOf(model).main, name) as ResidentTensor<"float32">) as Float32Array;
