import { type Graph, type Node, subgraphsOf, type ValueInfo } from "./model.ts";

/** The result of `make` for an object that never changes, made once. */
export function recall<K extends object, V>(memory: WeakMap<K, V>, key: K, make: (key: K) => V): V {
  let found = memory.get(key);
  if (found === undefined) memory.set(key, (found = make(key)));
  return found;
}

/** Appends to the list under a key. */
export function push<K, V>(lists: Map<K, V[]>, key: K, ...items: readonly V[]): void {
  const list = lists.get(key);
  if (list) for (const item of items) list.push(item);
  else lists.set(key, [...items]);
}

/** One read of a value by a node of a graph. */
export interface Read {
  readonly node: Node;
  readonly index: number;
}

const producers = new WeakMap<Graph, Map<string, Node>>();
const readers = new WeakMap<Graph, Map<string, Read[]>>();
const holders = new WeakMap<Graph, readonly Node[]>();
const infos = new WeakMap<readonly ValueInfo[], ReadonlyMap<string, ValueInfo>>();
const captures = new WeakMap<Graph, ReadonlySet<string>>();

/** Who writes each value of a graph. */
export const producersOf = (g: Graph): ReadonlyMap<string, Node> =>
  recall(producers, g, () => {
    const map = new Map<string, Node>();
    for (const n of g.nodes) for (const out of n.outputs) if (out !== "") map.set(out, n);
    return map;
  });

/** The inputs of a graph's own nodes, by value. */
export const readersOf = (g: Graph): ReadonlyMap<string, readonly Read[]> =>
  recall(readers, g, () => {
    const map = new Map<string, Read[]>();
    for (const n of g.nodes) addReads(map, n);
    return map;
  });

function addReads(map: Map<string, Read[]>, node: Node): void {
  node.inputs.forEach((v, index) => {
    if (v !== "") push(map, v, { node, index });
  });
}

/** The nodes that have graphs inside. */
export const holdersOf = (g: Graph): readonly Node[] => recall(holders, g, () => g.nodes.filter(holdsGraph));

const holdsGraph = (n: Node): boolean => {
  for (const a of n.attributes.values()) if (a.type === "graph" || a.type === "graphs") return true;
  return false;
};

export const infosOf = (list: readonly ValueInfo[]): ReadonlyMap<string, ValueInfo> =>
  recall(infos, list, () => new Map(list.map((v) => [v.name, v])));

/** Whether the graph itself defines a value, not one around it. */
export const defines = (g: Graph, v: string): boolean =>
  g.weights.has(v) || g.sparseWeights.has(v) || infosOf(g.inputs).has(v) || producersOf(g).has(v);

/** Names of all values that the graph itself defines. */
export const definedIn = (g: Graph): string[] => [
  ...infosOf(g.inputs).keys(),
  ...g.weights.keys(),
  ...g.sparseWeights.keys(),
  ...producersOf(g).keys(),
];

/** Names that a node reads: its inputs, and what the graphs inside it read from outside. */
export function readsOf(n: Node): readonly string[] {
  const reads = n.inputs.includes("") ? n.inputs.filter(Boolean) : n.inputs;
  return holdsGraph(n) ? [...reads, ...[...subgraphsOf(n)].flatMap((s) => [...capturesOf(s.graph)])] : reads;
}

/** Names that a graph reads but does not define. */
export const capturesOf = (g: Graph): ReadonlySet<string> =>
  recall(captures, g, () => {
    const free = new Set<string>();
    const look = (v: string) => defines(g, v) || free.add(v);
    for (const n of g.nodes) readsOf(n).forEach(look);
    for (const v of g.outputs) look(v.name);
    return free;
  });

/**
 * Hands the indexes of a graph on to the one that replaces it, brought up to date where nodes went and came. The old
 * graph's are made anew if someone still asks: results are always right, and a chain of small edits stays cheap.
 */
export function carry(from: Graph, to: Graph, gone: readonly Node[], come: readonly Node[]): void {
  const written = producers.get(from);
  if (written && producers.delete(from)) {
    for (const n of gone) for (const v of n.outputs) if (written.get(v) === n) written.delete(v);
    for (const n of come) for (const v of n.outputs) if (v !== "") written.set(v, n);
    producers.set(to, written);
  }
  const read = readers.get(from);
  if (read && readers.delete(from)) {
    const dead = new Set(gone);
    for (const v of new Set([...gone, ...come].flatMap((n) => n.inputs)))
      read.set(v, read.get(v)?.filter((r) => !dead.has(r.node)) ?? []);
    for (const n of come) addReads(read, n);
    readers.set(to, read);
  }
  const held = holders.get(from);
  if (held && ![...gone, ...come].some(holdsGraph)) holders.set(to, held);
}
