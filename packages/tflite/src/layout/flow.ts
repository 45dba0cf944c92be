/** A network of edges with capacities; nodes are numbers. */
export interface Flow {
  edge(from: number, to: number, capacity: number): void;
  /** Which nodes are on the source's side of a minimum cut, as close to the sink as can be. */
  cut(source: number, sink: number): readonly boolean[];
}

/**
 * Minimum cuts by Dinic's algorithm: shortest augmenting paths in layers (Dinitz, 1970). Searches are loops, so that deep
 * networks do not overflow the stack.
 */
export function flow(nodes: number): Flow {
  const [to, room]: [number[], number[]] = [[], []];
  const out: number[][] = Array.from({ length: nodes }, () => []);
  const levels = new Int32Array(nodes);

  function layer(source: number, sink: number): boolean {
    levels.fill(-1);
    levels[source] = 0;
    const queue = [source];
    for (let at = 0; at < queue.length; at++)
      for (const e of out[queue[at]!]!)
        if (room[e]! > 0 && levels[to[e]!]! < 0) {
          levels[to[e]!] = levels[queue[at]!]! + 1;
          queue.push(to[e]!);
        }
    return levels[sink]! >= 0;
  }

  /** Sends flow along one path of the layers; false where there is none. */
  function augment(source: number, sink: number, next: Int32Array): boolean {
    const path: number[] = [];
    for (let node = source; node !== sink; ) {
      const edges = out[node]!;
      while (next[node]! < edges.length) {
        const e = edges[next[node]!]!;
        if (room[e]! > 0 && levels[to[e]!] === levels[node]! + 1) break;
        next[node]!++;
      }
      if (next[node]! < edges.length) {
        path.push(edges[next[node]!]!);
        node = to[path.at(-1)!]!;
        continue;
      }
      const back = path.pop();
      if (back === undefined) return false;
      node = to[back ^ 1]!;
      next[node]!++;
    }
    const amount = path.reduce((least, e) => Math.min(least, room[e]!), Number.POSITIVE_INFINITY);
    for (const e of path) {
      room[e]! -= amount;
      room[e ^ 1]! += amount;
    }
    return true;
  }

  return {
    edge(from, target, capacity) {
      out[from]!.push(to.push(target) - 1);
      out[target]!.push(to.push(from) - 1);
      room.push(capacity, 0);
    },
    cut(source, sink) {
      while (layer(source, sink)) {
        const next = new Int32Array(nodes);
        while (augment(source, sink, next));
      }
      return Array.from(levels, (level) => level >= 0);
    },
  };
}
