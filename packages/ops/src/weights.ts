import { intAttribute, type Node, type Use } from "@pare/core";

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

/** The first use of a weight at an input where its operator takes weights. */
export const weightUse = (uses: readonly Use[]): Use | undefined =>
  uses.find(({ node, index }) => node.domain === "" && (weightInputs.get(node.op)?.includes(index) ?? false));

/**
 * A test for names from patterns in which `*` stands for anything: names that match one of `include` (all if it is
 * missing) and none of `exclude`.
 */
export function namePattern(include?: readonly string[], exclude: readonly string[] = []): (name: string) => boolean {
  const any = (patterns: readonly string[]) => {
    const sources = patterns.map((p) => p.split("*").map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, "\\$&")).join(".*"));
    const regex = new RegExp(`^(?:${sources.join("|")})$`, "s");
    return (name: string) => patterns.length > 0 && regex.test(name);
  };
  const included = include ? any(include) : () => true;
  const excluded = any(exclude);
  return (name) => included(name) && !excluded(name);
}

/** The label of an operator in messages and patterns: `Conv`, `acme.FusedGelu`. */
export const operatorName = (n: Node): string => (n.domain === "" ? n.op : `${n.domain}.${n.op}`);

