import { type Graph, readsOf } from "@pare/core";

/** The values of a graph that come from its inputs; all others are computed from constants alone. */
export function valuesFromInputs(g: Graph): ReadonlySet<string> {
  const found = new Set(g.inputs.map((v) => v.name));
  for (const n of g.nodes) if (readsOf(n).some((v) => found.has(v))) for (const v of n.outputs) found.add(v);
  return found;
}
