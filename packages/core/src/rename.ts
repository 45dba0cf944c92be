import { failure } from "./diagnostic.ts";
import { capturesOf, defines } from "./local.ts";
import { type Graph, mapSubgraphs, type Node, placeOf } from "./model.ts";

/**
 * A node that reads other values, in the graphs inside it too; the same node when none of its reads is renamed.
 * @throws PareError `core/shadowed` when a graph inside defines the new name, so that it would mean another value
 */
export function renameReads(n: Node, rename: (v: string) => string): Node {
  const renamed = mapSubgraphs(n, (g) => renameCaptures(g, rename, n));
  return renamed.inputs.some((v) => rename(v) !== v) ? { ...renamed, inputs: renamed.inputs.map(rename) } : renamed;
}

function renameCaptures(g: Graph, rename: (v: string) => string, holder: Node): Graph {
  const changes = new Map([...capturesOf(g)].map((v) => [v, rename(v)] as const).filter(([v, to]) => v !== to));
  if (changes.size === 0) return g;
  for (const to of changes.values())
    if (defines(g, to))
      throw failure("core/shadowed", `a graph inside has a value ${to} of its own`, { location: placeOf(holder) });
  const inner = (v: string) => changes.get(v) ?? v;
  return {
    ...g,
    nodes: g.nodes.map((n) => renameReads(n, inner)),
    outputs: g.outputs.map((v) => (changes.has(v.name) ? { ...v, name: inner(v.name) } : v)),
  };
}
