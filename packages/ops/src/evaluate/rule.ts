import { attribute, failure, intAttribute, intsAttribute, type Node } from "@pare/core";
import { type Nd, numbersOf } from "./array.ts";
import type { Budget } from "./budget.ts";

/** What a rule is given: the node and its inputs. Inputs that were left out are undefined. */
export interface Call {
  readonly node: Node;
  readonly inputs: readonly (Nd | undefined)[];
  /** Rules whose work is more than a few steps for each element of their results spend it here first. */
  readonly budget: Budget;
}

/** Computes the outputs of a node by the operator's definition at the IR's opset. */
export type EvaluateRule = (call: Call) => readonly Nd[];

export type EvaluateRules = Readonly<Record<string, EvaluateRule>>;

/** An input that must be there. */
export function input({ node, inputs }: Call, index: number): Nd {
  const found = inputs[index];
  if (!found) throw failure("ops/input", `${node.op} lacks its input ${index}`);
  return found;
}

/** The integers of an input, or undefined when it was left out. */
export const ints = ({ inputs }: Call, index: number): number[] | undefined => {
  const found = inputs[index];
  return found && Array.from(numbersOf(found));
};

type Attributed = Pick<Call, "node">;
export const int = ({ node }: Attributed, name: string, fallback: number): number => intAttribute(node, name, fallback);
export const intList = ({ node }: Attributed, name: string): readonly number[] | undefined => intsAttribute(node, name);
export const float = ({ node }: Attributed, name: string, fallback: number): number =>
  attribute(node, name, "float") ?? fallback;
export const text = ({ node }: Attributed, name: string, fallback: string): string =>
  String(attribute(node, name, "string") ?? fallback);
