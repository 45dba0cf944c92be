import {
  type DType,
  type GraphView,
  intAttribute,
  intsAttribute,
  isFloat,
  lazyTensor,
  type Model,
  type Node,
  type PassContext,
  type Tensor,
  type Use,
  viewOf,
  type Weight,
  weightsOf,
} from "@pare/core";

export { equalContents, groupBy } from "./contents.ts";

/** Whether a graph is the body of a function or stands in one: such bodies hold no weights. */
export const inFunction = (view: GraphView): boolean => (view.parent ? inFunction(view.parent) : view.path !== "");

/** The same elements in another shape of as many. */
export function reshaped<D extends DType>(t: Tensor<D>, shape: readonly number[]): Tensor<D> {
  const { dtype, byteLength, key, bytes } = t;
  const read: Tensor["read"] = (range, signal) => t.read(range, signal);
  return { ...lazyTensor({ dtype, shape, byteLength, key, read }), ...(bytes && { bytes }) };
}

/**
 * Inputs at which operators take weights: matrices, filters and tables that are learned, large and worth compressing.
 * Biases and normalisation parameters are not among them.
 */
export const weightInputs: ReadonlyMap<string, readonly number[]> = new Map([
  ["Conv", [1]],
  ["ConvTranspose", [1]],
  ["DeformConv", [1]],
  ["Gemm", [0, 1]],
  ["MatMul", [0, 1]],
  ["Einsum", [0, 1, 2, 3]],
  ["Gather", [0]],
  ["LSTM", [1, 2]],
  ["GRU", [1, 2]],
  ["RNN", [1, 2]],
]);

/** Inputs at which operators take biases: one number for each output channel, added at the end. */
export const biasInputs: ReadonlyMap<string, number> = new Map([
  ["Conv", 2],
  ["ConvTranspose", 2],
  ["DeformConv", 3],
  ["Gemm", 2],
  ["QLinearConv", 8],
  ["LSTM", 3],
  ["GRU", 3],
  ["RNN", 3],
  ["CausalConvWithState", 2],
]);

/**
 * The axis of a weight along which each index makes a part of the output of its own, so that a scale for each index
 * costs nothing: output channels of a convolution, columns of a matrix, rows of a table, gates of a recurrence.
 * Undefined where the operator mixes all axes.
 */
export function channelAxis(op: Node, input: number, rank: number): number | undefined {
  const last = rank - 1;
  switch (op.op) {
    case "Conv":
    case "DeformConv":
    case "Gather":
      return 0;
    case "ConvTranspose":
      // With groups, output channels are numbered within each group: axis 1 still separates them.
      return 1;
    case "Gemm":
      return intAttribute(op, input === 0 ? "transA" : "transB", 0) === (input === 0 ? 1 : 0) ? last : 0;
    case "MatMul":
      return input === 1 ? (rank < 2 ? undefined : last) : rank < 2 ? undefined : last - 1;
    case "LSTM":
    case "GRU":
    case "RNN":
      return 1;
    default:
      return undefined;
  }
}

/** The axis of a weight that the operator sums over, along which blocks are laid. */
export function reductionAxis(op: Node, input: number, rank: number): number | undefined {
  const last = rank - 1;
  switch (op.op) {
    case "Conv":
    case "DeformConv":
      return 1;
    case "ConvTranspose":
      return 0;
    case "Gather":
      return last > 0 ? last : undefined;
    case "Gemm":
      return last - channelAxis(op, input, rank)!;
    case "MatMul":
      return rank < 2 ? last : input === 1 ? last - 1 : last;
    case "LSTM":
    case "GRU":
    case "RNN":
      return last;
    default:
      return undefined;
  }
}

/** Which operator a weight works in: where it is read, directly or through nodes that move or convert elements. */
export interface WeightRole {
  readonly op: Node;
  readonly input: number;
  /** Nodes between the weight and the operator. */
  readonly through: readonly Node[];
  /** The axis of the stored weight that an axis of the operator's operand is. */
  storedAxis(axis: number): number;
}

const passesThrough = new Set(["Identity", "Transpose", "Cast", "DequantizeLinear"]);

/** The role of a constant of `rank`, if it has one. */
export function weightRole(uses: readonly Use[], rank: number, depth = 0): WeightRole | undefined {
  for (const { node, index } of uses)
    if (node.domain === "" && weightInputs.get(node.op)?.includes(index))
      return { op: node, input: index, through: [], storedAxis: (axis) => axis };
  if (depth === 4) return undefined;
  for (const { node, index, view } of uses) {
    if (index !== 0 || node.domain !== "" || !passesThrough.has(node.op)) continue;
    const role = weightRole(view.uses(node.outputs[0]!), rank, depth + 1);
    if (!role) continue;
    const perm = node.op === "Transpose" ? (intsAttribute(node, "perm") ?? reversed(rank)) : undefined;
    return {
      ...role,
      through: [node, ...role.through],
      storedAxis: (axis) => (perm ? perm[role.storedAxis(axis)]! : role.storedAxis(axis)),
    };
  }
  return undefined;
}

const reversed = (rank: number) => Array.from({ length: rank }, (_, i) => rank - 1 - i);

/** Options that say which weights a pass is for. */
export interface Scope {
  /** Operators whose weights are meant; by default all that take weights. */
  readonly ops?: readonly string[] | undefined;
  /** Patterns of value names, `*` for anything. */
  readonly include?: readonly string[] | undefined;
  readonly exclude?: readonly string[] | undefined;
}

/** A weight that a pass may change. */
export interface Candidate {
  readonly weight: Weight;
  readonly role: WeightRole;
  readonly tensor: Tensor<"float32">;
}

/** The float32 weights in scope that a pass may change; of others it reports the reason why it must not. */
export function* weightCandidates(
  model: Model,
  { ops, include, exclude }: Scope,
  { skip, signal }: Pick<PassContext, "skip" | "signal">,
): Generator<Candidate> {
  for (const weight of weightsOf(viewOf(model), { names: namePattern(include, exclude) })) {
    signal.throwIfAborted();
    const { tensor, view, name } = weight;
    const role = weightRole(weight.uses, tensor.shape.length);
    if (!role || (ops && !ops.includes(role.op.op))) continue;
    // Integers that Gather reads are shapes and indices.
    if (role.op.op === "Gather" && !isFloat(tensor.dtype) && role.through.length === 0) continue;
    if (tensor.dtype !== "float32") skip(weight, `is ${tensor.dtype}, not float32`);
    else if (role.through.some((n) => n.op === "Cast")) skip(weight, "is converted to another type");
    else if (view.isOutput(name)) skip(weight, "is an output of its graph");
    else if (view.graph.inputs.some((v) => v.name === name))
      skip(weight, "is an input with a default, which the caller may replace");
    else yield { weight, role, tensor: tensor as Tensor<"float32"> };
  }
}

/**
 * A test for names from patterns in which `*` stands for anything: names that match one of `include` (all if it is
 * missing) and none of `exclude`.
 */
export function namePattern(include?: readonly string[], exclude: readonly string[] = []): (name: string) => boolean {
  const any = (patterns: readonly string[]) => {
    const sources = patterns.map((p) =>
      p
        .split("*")
        .map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, "\\$&"))
        .join(".*"),
    );
    const regex = new RegExp(`^(?:${sources.join("|")})$`, "s");
    return (name: string) => patterns.length > 0 && regex.test(name);
  };
  const included = include ? any(include) : () => true;
  const excluded = any(exclude);
  return (name) => included(name) && !excluded(name);
}

/** The label of an operator in messages and patterns: `Conv`, `acme.FusedGelu`. */
export const operatorName = (n: Node): string => (n.domain === "" ? n.op : `${n.domain}.${n.op}`);
