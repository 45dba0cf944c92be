import { type Graph, type Node, subgraphsOf, type ValueInfo } from "./model.ts";
import { recall } from "./recall.ts";

/** Who writes and who reads each value in a list of nodes. */
interface Index {
  readonly writers: Map<string, Node>;
  readonly readers: Map<string, Set<Node>>;
}

const indexes = new WeakMap<readonly Node[], Index>();
const infos = new WeakMap<readonly ValueInfo[], ReadonlyMap<string, ValueInfo>>();
const captures = new WeakMap<Graph, ReadonlySet<string>>();

export const indexOf = (nodes: readonly Node[]): Index =>
  recall(indexes, nodes, () => {
    const index: Index = { writers: new Map(), readers: new Map() };
    for (const n of nodes) add(index, n);
    return index;
  });

function add({ writers, readers }: Index, n: Node): void {
  for (const v of n.outputs) if (v) writers.set(v, n);
  for (const v of n.inputs) if (v) recall(readers, v, () => new Set()).add(n);
}

/**
 * Hands the index of a list of nodes on to the one that replaces it, brought up to date where nodes went and came. The
 * old list's is made anew if someone still asks: results are always right, and a chain of small edits stays cheap.
 */
export function carry(from: readonly Node[], to: readonly Node[], gone: readonly Node[], come: readonly Node[]): void {
  const index = indexes.get(from);
  if (!index) return;
  for (const n of gone) {
    for (const v of n.outputs) if (index.writers.get(v) === n) index.writers.delete(v);
    for (const v of n.inputs) index.readers.get(v)?.delete(n);
  }
  for (const n of come) add(index, n);
  indexes.delete(from);
  indexes.set(to, index);
}

/** Whether there are graphs inside a node. */
export const holdsGraph = (n: Node): boolean => {
  for (const a of n.attributes.values()) if (a.type === "graph" || a.type === "graphs") return true;
  return false;
};

export const infosOf = (list: readonly ValueInfo[]): ReadonlyMap<string, ValueInfo> =>
  recall(infos, list, () => new Map(list.map((v) => [v.name, v])));

const definitions = (g: Graph) => [indexOf(g.nodes).writers, g.weights, infosOf(g.inputs), g.sparseWeights];

/** Whether the graph itself defines a value, not one around it. */
export const defines = (g: Graph, v: string): boolean => definitions(g).some((map) => map.has(v));

/** Names of all values that the graph itself defines. */
export const definedIn = (g: Graph): string[] => definitions(g).flatMap((map) => [...map.keys()]);

/** Names that a node reads: its inputs, and what the graphs inside it read from outside. */
export function readsOf(n: Node): readonly string[] {
  const reads = n.inputs.includes("") ? n.inputs.filter(Boolean) : n.inputs;
  return holdsGraph(n) ? [...reads, ...[...subgraphsOf(n)].flatMap((s) => [...capturesOf(s.graph)])] : reads;
}

/** Names that a graph reads but does not define. */
export const capturesOf = (g: Graph): ReadonlySet<string> =>
  recall(captures, g, () => {
    const reads = [...g.nodes.flatMap(readsOf), ...g.outputs.map((v) => v.name)];
    return new Set(reads.filter((v) => !defines(g, v)));
  });
