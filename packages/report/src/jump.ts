import { type Model, readsOf, viewOf } from "@pare/core";
import type { ValueComparison } from "./compare.ts";

/** The first value, in the order of the graph, that is much worse than what it is computed from. */
export interface Jump {
  readonly name: string;
  readonly op: string;
  /** SQNR of the value, and of the worst value it is computed from (infinite: only of inputs and weights). */
  readonly sqnrDb: number;
  readonly before: number;
}

/** Above this nothing is lost that matters; a value below `BAD` that lost `DROP` against its inputs is a jump. */
const GOOD = 40;
const BAD = 30;
const DROP = 10;

/** Where the error first jumps: below 30 dB and at least 10 dB worse than its inputs (above 40 dB counts as 40). */
export function jumpOf(model: Model, values: readonly ValueComparison[]): Jump | undefined {
  const compared = new Map(values.map((v) => [v.name, v]));
  /** SQNR of each value; for one that was not compared, of the worst that it is computed from. */
  const level = new Map<string, number>();
  for (const n of viewOf(model).main.graph.nodes) {
    let before = Number.POSITIVE_INFINITY;
    for (const v of readsOf(n)) before = Math.min(before, level.get(v) ?? Number.POSITIVE_INFINITY);
    for (const out of n.outputs) {
      const v = compared.get(out);
      const sqnrDb = v ? (v.broken > 0 ? Number.NEGATIVE_INFINITY : v.sqnrDb) : before;
      if (v && sqnrDb < BAD && Math.min(before, GOOD) - sqnrDb >= DROP) return { name: out, op: v.op, sqnrDb, before };
      level.set(out, sqnrDb);
    }
  }
  return undefined;
}
