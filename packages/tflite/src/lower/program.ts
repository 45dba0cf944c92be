import type { DType, Node, Tensor } from "@pare/core";
import type { BuiltinOperator } from "../format/options.ts";

/** A value while a model is lowered: its shape is fixed, in the order of dimensions of the source. A constant has `data`. */
export interface Val {
  readonly id: number;
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data?: Tensor | undefined;
}

/** How the elements of a value lie in memory: as in the source, or with its channels (dimension 1) last. */
export type Order = "source" | "last";

/** An operand. Without `order` it is whatever its step is, which then is said in that order. */
export interface Arg {
  readonly value: Val;
  readonly order?: Order;
}

/** One builtin operator on values. */
export interface Step {
  readonly code: BuiltinOperator;
  /** Undefined is an optional input left out. */
  readonly inputs: readonly (Arg | undefined)[];
  readonly outputs: readonly Arg[];
  readonly options: Readonly<Record<string, unknown>>;
  /** The node of the source that it is part of. */
  readonly node: Node;
  /** Graphs that it runs: both branches of IF; condition and body of WHILE. */
  readonly graphs?: readonly Program[] | undefined;
}

/** A lowered graph, before it is decided how values lie in memory. */
export interface Program {
  readonly inputs: readonly Val[];
  readonly outputs: readonly { readonly name: string; readonly value: Val }[];
  readonly steps: readonly Step[];
}

/** The order of dimensions with channels last: `[0, 2, 3, 1]`. */
export const lastOrder = (rank: number): readonly number[] => [
  0,
  ...Array.from({ length: rank - 2 }, (_, i) => i + 2),
  1,
];

/** The way back: `[0, 3, 1, 2]`. */
export const sourceOrder = (rank: number): readonly number[] => [
  0,
  rank - 1,
  ...Array.from({ length: rank - 2 }, (_, i) => i + 1),
];

/** Whether a value may lie with its channels last: it has channels and something beside them and the batch. */
export const hasOrders = (v: { readonly shape: readonly number[] }): boolean =>
  v.shape.length >= 3 && v.shape.length <= 5;

export const permuted = <T>(list: readonly T[], perm: readonly number[]): T[] => perm.map((i) => list[i]!);

/** Whether a permutation of these dimensions leaves the elements where they are in memory. */
export function movesNothing(shape: readonly number[], perm: readonly number[]): boolean {
  const moved = perm.filter((i) => shape[i] !== 1);
  return moved.every((axis, i) => i === 0 || axis > moved[i - 1]!);
}
