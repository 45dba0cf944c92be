import { ensure } from "./diagnostic.ts";
import { carry, defines, readsOf } from "./local.ts";
import type { Graph, Model, Node, ValueInfo } from "./model.ts";
import { inOrder } from "./order.ts";
import { recall } from "./recall.ts";
import { renameReads } from "./rename.ts";
import { mapSame, sameList, update } from "./same.ts";
import type { Tensor } from "./tensor.ts";
import { verifyGraph, verifyView } from "./verify.ts";
import { type GraphView, type ModelView, viewOf } from "./view.ts";

/** What a batch of changes asks of one node. */
export interface NodeDraft {
  readonly before: Node[];
  by?: readonly Node[];
  /** Its new inputs, with holes where they stay. */
  inputs?: string[];
}

/** What it asks of one graph. */
export interface Draft {
  readonly nodes: Map<Node, NodeDraft>;
  /** Nodes that come at the end. */
  readonly end: Node[];
  /** Reads of the key become reads of the value. */
  readonly reads: Map<string, string>;
  /** Definitions of the key become definitions of the value (and reads follow). */
  readonly definitions: Map<string, string>;
  readonly parts: Partial<Graph> & { weights?: Map<string, Tensor>; types?: Map<string, ValueInfo> };
}

export const emptyDraft = (): Draft => ({
  nodes: new Map(),
  end: [],
  reads: new Map(),
  definitions: new Map(),
  parts: {},
});

/** Where reads of a value go in the end; paths are shortened on the way. */
export function follow(reads: Map<string, string>, value: string): string {
  let end = value;
  for (let next = reads.get(end); next !== undefined; next = reads.get(end)) {
    reads.set(end, reads.get(next) ?? next);
    end = next;
  }
  return end;
}

/** The model with all drafts applied, checked where it was touched. */
export function commit({ model, graphs }: ModelView, drafts: Map<GraphView, Draft>, parts: Partial<Model>): Model {
  const made = new Map<Graph, Graph>();
  const remade = (g: Graph) => made.get(g) ?? g;
  const make = (v: GraphView): Graph =>
    recall(made, v.graph, (g) => {
      const isOther = v.children.filter((child) => make(child) !== child.graph).length > 0;
      return isOther || drafts.has(v) ? redo(v, recall(drafts, v, emptyDraft), isOther, remade) : g;
    });
  graphs.forEach(make);

  const functions = mapSame(parts.functions ?? model.functions, (f) => update(f, { body: remade(f.body) }));
  const result = update(model, { ...parts, graph: remade(model.graph), functions });
  const checked = new Set([...made.keys(), ...made.values()]);
  for (const v of viewOf(result).graphs) if (!checked.has(v.graph)) ensure(verifyView(v));
  return result;
}

/** One graph with its draft applied and the graphs inside remade, in order and checked as far as the change reaches. */
function redo(v: GraphView, d: Draft, isOther: boolean, remade: (g: Graph) => Graph): Graph {
  const g = v.graph;
  const { nodes, gone, come } = place(v, d, isOther || d.reads.size > 0, remade);
  const { weights, inputs = [], outputs = [] } = d.parts;
  const touched = new Set([
    ...[...gone, ...come].flatMap((n) => [...readsOf(n), ...n.outputs]),
    ...[...g.inputs, ...inputs, ...outputs].map((info) => info.name),
    ...(weights ? [...g.weights.keys(), ...weights.keys()] : []),
  ]);
  let made = update(g, { ...d.parts, nodes: sameList(g.nodes, nodes) });
  carry(g.nodes, made.nodes, gone, come);
  const stale = new Set([...touched].filter((name) => made.types.has(name) && !defines(made, name)));
  if (stale.size > 0) made = { ...made, types: new Map([...made.types].filter(([name]) => !stale.has(name))) };
  // What is read from around is checked there, among what the node that holds this graph reads.
  const check = () => verifyGraph(made, v, () => v.parent, touched);
  if (made !== g && check().length > 0) {
    const sorted = inOrder(made.nodes);
    carry(made.nodes, sorted, [], []);
    made = { ...made, nodes: sorted };
    ensure(check());
  }
  return made;
}

/** The nodes of a graph with its draft applied and the graphs inside remade, and which of them went and came. */
function place(v: GraphView, d: Draft, isRenamed: boolean, remade: (g: Graph) => Graph) {
  const brought = [...[...d.nodes.values()].flatMap((c) => [...c.before, ...(c.by ?? [])]), ...d.end];
  const written = new Set(brought.flatMap((n) => n.outputs));
  const moved = (name: string) => follow(d.reads, name);
  const movedIfGone = (name: string) =>
    !written.has(name) && (d.definitions.has(name) || d.nodes.get(v.producer(name)!)?.by) ? moved(name) : name;
  const nodes: Node[] = [];
  const gone: Node[] = [];
  const come: Node[] = [];
  const add = (n: Node, isNew: boolean, set?: readonly string[]) => {
    let m = n;
    if (isRenamed || set) {
      m = renameReads(n, isNew && !d.nodes.has(n) ? movedIfGone : moved, remade);
      m = update(m, {
        inputs: set ? Array.from(Object.assign([...m.inputs], set.map(movedIfGone)), (name = "") => name) : m.inputs,
        outputs: mapSame(m.outputs, (name) => d.definitions.get(name) ?? name),
      });
    }
    nodes.push(m);
    if (isNew || m !== n) come.push(m);
  };
  for (const n of v.graph.nodes) {
    const c = d.nodes.get(n);
    for (const m of c?.before ?? []) add(m, true);
    if (c?.by) for (const m of c.by) add(m, true);
    else add(n, false, c?.inputs);
    if (nodes.at(-1) !== n) gone.push(n);
  }
  for (const n of d.end) add(n, true);
  return { nodes, gone, come };
}
