import { type Graph, renameReads } from "@pare/core";

/** The graph with a prefix before the names of all its values but the inputs that are no constants. */
export function differentValues(g: Graph, prefix: string): Graph {
  const own = new Set([...g.weights.keys(), ...g.nodes.flatMap((n) => n.outputs)].filter(Boolean));
  for (const { name } of g.inputs) own.delete(name);
  const rename = (v: string) => (own.has(v) ? `${prefix}${v}` : v);
  return {
    ...g,
    weights: new Map([...g.weights].map(([name, t]) => [rename(name), t])),
    nodes: g.nodes.map((n) => ({ ...renameReads(n, rename), outputs: n.outputs.map(rename) })),
    outputs: g.outputs.map((v) => ({ ...v, name: rename(v.name) })),
    types: new Map(),
  };
}
