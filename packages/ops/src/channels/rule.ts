import type { Dim, Node, Use } from "@pare/core";
import type { Axis, ChannelGroup } from "./parts.ts";

/** Numbers of channels after some were left out. */
export type SizeOf = (axis: Axis) => number | undefined;

/** What a node needs besides smaller inputs: an attribute or a constant operand that holds numbers of channels. */
export interface Adjustment {
  readonly node: Node;
  readonly attributes?: (sizeOf: SizeOf) => Readonly<Record<string, number>>;
  /** Integers in the place of the operand at `index`. */
  readonly operand?: { readonly index: number; readonly ints: (sizeOf: SizeOf) => readonly number[] };
}

/** What a rule is given of one node. */
export interface Coupling {
  readonly node: Node;
  /** Dimensions of an operand or result; undefined where the rank is not known or it is left out. */
  dims(value: string | undefined): readonly Dim[] | undefined;
  /** Axes of an operand. */
  axes(value: string): readonly Axis[];
  /** Says what the axes of a result are. */
  give(output: string | undefined, axes: readonly Axis[]): void;
  /** Integers that are known without a run. */
  ints(value: string | undefined): readonly number[] | undefined;
  /** Who reads a value; undefined where it is an output of the graph. */
  uses(value: string): readonly Use[] | undefined;
  unify(a: Axis | undefined, b: Axis | undefined): void;
  /** All channels of an operand stay. */
  fix(axis: Axis | undefined, why: string): void;
  adjust(adjustment: Omit<Adjustment, "node">): void;
}

/** Couples the channels of operands, and gives the axes of all results; false where it cannot say, and all have to stay. */
export type ChannelRule = (c: Coupling) => boolean;

export type { Axis, ChannelGroup };
