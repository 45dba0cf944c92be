import { failure } from "./diagnostic.ts";
import { capturesOf, defines } from "./local.ts";
import { type Graph, mapSubgraphs, type Node, placeOf } from "./model.ts";
import { mapSame, update } from "./same.ts";

/**
 * A node that reads other values, in the graphs inside it too, which may be replaced before; the same node when all
 * stays as it is.
 * @throws PareError `core/shadowed` when a graph inside defines the new name, so that it would mean another value
 */
export function renameReads(n: Node, rename: (v: string) => string, replace = (g: Graph) => g): Node {
  const inside = mapSubgraphs(n, (s) => {
    const g = replace(s);
    const moved = new Set([...capturesOf(g)].filter((v) => rename(v) !== v));
    if (moved.size === 0) return g;
    for (const v of moved)
      if (defines(g, rename(v)))
        throw failure("core/shadowed", `a graph inside has another ${rename(v)}`, { location: placeOf(n) });
    const inner = (v: string) => (moved.has(v) ? rename(v) : v);
    return {
      ...g,
      nodes: g.nodes.map((m) => renameReads(m, inner)),
      outputs: mapSame(g.outputs, (v) => update(v, { name: inner(v.name) })),
    };
  });
  return update(inside, { inputs: mapSame(inside.inputs, rename) });
}
