import type { GraphView, Node, Tensor } from "@pare/core";

/** What is computed, by the graph and the name of the value. */
export type Folded = Map<GraphView, Map<string, { readonly node: Node; readonly tensor: Tensor }>>;

/** Rounds in which a region gives up what makes it too large, before it is given up altogether. */
const MOST_ROUNDS = 8;

/**
 * Takes out of what was computed all that would make the file larger. Values that depend on each other are judged
 * together, since a weight goes only when all that read it do. Answers which values are still read by what stays.
 */
export function settle(folded: Folded): (view: GraphView, name: string) => boolean {
  const isFolded = (view: GraphView, n: Node) => n.outputs.some((v) => folded.get(view)?.get(v)?.node === n);
  const isStaying = (view: GraphView, name: string) =>
    view.isOutput(name) || view.uses(name).some((use) => !isFolded(use.view, use.node));

  for (let round = 0; ; round++) {
    let isSettled = true;
    for (const region of regionsOf(folded)) {
      const stays = region.values.filter(({ view, name }) => isStaying(view, name));
      const freed = region.sources.filter(({ view, name }) => !isStaying(view, name));
      const after = stays.reduce((sum, v) => sum + weightBytes(v), 0);
      const before = freed.reduce((sum, v) => sum + weightBytes(v), 0);
      const nodes = new Set(region.values.map((v) => v.node));
      if (after <= [...nodes].reduce((sum, n) => sum + nodeBytes(n), before)) continue;
      isSettled = false;
      const growing = stays.filter((v) => weightBytes(v) > nodeBytes(v.node) + v.given);
      for (const v of round < MOST_ROUNDS ? (growing.length > 0 ? growing : stays) : region.values)
        for (const name of v.node.outputs) folded.get(v.view)!.delete(name);
    }
    if (isSettled) return isStaying;
  }
}

interface Held {
  readonly view: GraphView;
  readonly name: string;
  readonly tensor: Tensor;
}

/** Values that were computed from each other, and the constants that they were computed from. */
interface Region {
  readonly values: (Held & { readonly node: Node /** Bytes of the inputs. */; readonly given: number })[];
  readonly sources: Held[];
}

function regionsOf(folded: Folded): Iterable<Region> {
  const joined = new Map<object, object>();
  const find = (key: object): object => {
    let root = key;
    for (let next = joined.get(root); next && next !== root; next = joined.get(root)) root = next;
    for (let at = key; at !== root; ) {
      const next = joined.get(at)!;
      joined.set(at, root);
      at = next;
    }
    return root;
  };
  const sources = new Map<Tensor, Held>();
  const inputsOf = (view: GraphView, n: Node) =>
    n.inputs.flatMap((name) => {
      const definer = name === "" ? undefined : view.definer(name);
      if (!definer) return [];
      const made = folded.get(definer)?.get(name);
      const tensor = made?.tensor ?? definer.constant(name);
      if (!tensor) return [];
      if (!made) sources.set(tensor, { view: definer, name, tensor });
      return [{ tensor, key: made?.node ?? tensor }];
    });
  const values: Region["values"] = [];
  for (const [view, results] of folded)
    for (const [name, { node, tensor }] of results) {
      const inputs = inputsOf(view, node);
      for (const { key } of inputs) joined.set(find(key), find(node));
      values.push({ view, name, node, tensor, given: inputs.reduce((sum, i) => sum + i.tensor.byteLength, 0) });
    }
  const regions = new Map<object, Region>();
  const regionOf = (key: object) => {
    const root = find(key);
    let region = regions.get(root);
    if (!region) regions.set(root, (region = { values: [], sources: [] }));
    return region;
  };
  for (const v of values) regionOf(v.node).values.push(v);
  for (const [tensor, held] of sources) regionOf(tensor).sources.push(held);
  return regions.values();
}

/** About what a weight takes in a file beside its bytes, and what a node takes. */
const weightBytes = ({ name, tensor }: Held) => tensor.byteLength + name.length + 16;
const nodeBytes = (n: Node) =>
  [...n.inputs, ...n.outputs, n.name, n.op].reduce((sum, s) => sum + s.length + 2, 8) + 16 * n.attributes.size;
