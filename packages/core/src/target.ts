import type { DType } from "./dtype.ts";
import type { Node } from "./model.ts";
import type { GraphView } from "./view.ts";

/** What a target says of one node. */
export type Verdict = { readonly ok: true } | { readonly ok: false; readonly reason: string; readonly hint?: string };

/** What one operator may be on a target. */
export interface OperatorRule {
  /** Element types of its values; by default the target's. */
  readonly dtypes?: readonly DType[];
  /** What a table cannot say. Pure. */
  readonly accepts?: (node: Node, view: GraphView) => Verdict;
}

/** What one kind of device and its runtime accept: tables and, where a table cannot say it, pure predicates. */
export interface Target {
  readonly name: string;
  /** Name of the runtime that runs it, `onnxruntime`. */
  readonly runtime: string;
  /** Highest version of each operator domain that it loads. */
  readonly opsets: ReadonlyMap<string, number>;
  /** Operators by `domain.op`, or `op` for the standard domain. */
  readonly operators: ReadonlyMap<string, OperatorRule>;
  /** Element types that values may have. */
  readonly dtypes: readonly DType[];
}
