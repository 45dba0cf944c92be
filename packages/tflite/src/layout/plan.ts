import { flow } from "./flow.ts";

/** 0 is the order of the source, 1 has channels last. */
export type Side = 0 | 1;

/** Where a value is written or read: in an order that is fixed, or in that of an operator, which is free. */
export type End = { readonly side: Side } | { readonly operator: number };

/** A value that can lie in two orders. */
export interface PlanValue {
  /** What it costs to make it lie in the other order, once for all who read it so. */
  readonly cost: number;
  readonly writer: End;
  readonly readers: readonly End[];
}

/** What is to be decided: the orders of operators `0` to `operators - 1`. */
export interface LayoutProblem {
  readonly operators: number;
  readonly values: readonly PlanValue[];
}

/** What a choice of orders costs: each value that some read in another order than it is written in. */
export function costOf({ values }: LayoutProblem, sides: readonly Side[]): number {
  const sideOf = (end: End) => ("side" in end ? end.side : sides[end.operator]);
  return values.reduce((sum, v) => sum + (v.readers.some((r) => sideOf(r) !== sideOf(v.writer)) ? v.cost : 0), 0);
}

/**
 * The orders in which operators together cost least, for the whole graph at once, as a minimum cut: operators on the side
 * of the source keep its order. Two nodes of the network stand for each value, so that however many read it in the other
 * order, it is paid for once. (The formulation is that of litert-torch's layout pass, extended to either direction.)
 */
export function planLayout(problem: LayoutProblem): readonly Side[] {
  const { operators, values } = problem;
  const [source, sink] = [operators, operators + 1];
  const network = flow(operators + 2 + 2 * values.length);
  const nodeOf = (end: End) => ("side" in end ? (end.side === 0 ? source : sink) : end.operator);
  values.forEach(({ cost, writer, readers }, i) => {
    const from = nodeOf(writer);
    const [toLast, toSource] = [operators + 2 + 2 * i, operators + 3 + 2 * i];
    network.edge(from, toLast, cost);
    network.edge(toSource, from, cost);
    for (const reader of new Set(readers.map(nodeOf))) {
      if (reader === from) continue;
      network.edge(toLast, reader, Number.MAX_SAFE_INTEGER);
      network.edge(reader, toSource, Number.MAX_SAFE_INTEGER);
    }
  });
  const kept = network.cut(source, sink);
  return Array.from({ length: operators }, (_, i) => (kept[i] ? 0 : 1));
}
