import { ensure } from "./diagnostic.ts";
import { carry, readsOf } from "./local.ts";
import { type Graph, type Model, mapSubgraphs, type Node, type ValueInfo } from "./model.ts";
import { inOrder } from "./order.ts";
import { renameReads } from "./rename.ts";
import type { Tensor } from "./tensor.ts";
import { verifyGraph, verifyView } from "./verify.ts";
import { type GraphView, type ModelView, viewOf } from "./view.ts";

/** What a batch of changes asks of one node. */
export interface NodeDraft {
  readonly before: Node[];
  by?: readonly Node[];
  inputs?: Map<number, string>;
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
  weights?: Map<string, Tensor>;
  types?: Map<string, ValueInfo>;
  parts?: Partial<Graph>;
}

/** Where reads of a value go in the end; paths are shortened on the way. */
export function follow(reads: Map<string, string>, value: string): string {
  let end = value;
  for (let next = reads.get(end); next !== undefined; next = reads.get(end)) end = next;
  for (let v = value; v !== end; ) {
    const next = reads.get(v)!;
    reads.set(v, end);
    v = next;
  }
  return end;
}

/** The object with parts replaced; the same object when all of them are what it has. */
const update = <T extends object>(base: T, parts: Partial<T>): T =>
  (Object.keys(parts) as (keyof T)[]).some((k) => parts[k] !== base[k]) ? { ...base, ...parts } : base;

/** The model with all drafts applied, checked where it was touched. */
export function commit(view: ModelView, drafts: ReadonlyMap<GraphView, Draft>, parts: Partial<Model>): Model {
  const { model } = view;
  const made = new Map<Graph, Graph>();
  const changed = (v: GraphView) => made.get(v.graph) !== v.graph;
  const make = (v: GraphView): void => {
    if (made.has(v.graph)) return;
    v.children.forEach(make);
    made.set(v.graph, drafts.has(v) || v.children.some(changed) ? redo(v, drafts.get(v), made) : v.graph);
  };
  view.graphs.forEach(make);

  const functions = parts.functions ?? model.functions;
  const bodies = functions.map((f) => update(f, { body: made.get(f.body) ?? f.body }));
  const result = update(model, {
    ...parts,
    graph: made.get(model.graph)!,
    functions: bodies.some((f, i) => f !== functions[i]) ? bodies : functions,
  });
  if (result === model) return model;
  const checked = new Set([...made.keys(), ...made.values()]);
  ensure(viewOf(result).graphs.flatMap((v) => (checked.has(v.graph) ? [] : verifyView(v))));
  return result;
}

/** One graph with its draft applied and `made` graphs inside, in order and checked as far as the change reaches. */
function redo(v: GraphView, d: Draft | undefined, made: ReadonlyMap<Graph, Graph>): Graph {
  const g = v.graph;
  const inner = v.children.some((c) => made.get(c.graph) !== c.graph);
  const brought = d ? [...d.nodes.values()].flatMap((c) => [...c.before, ...(c.by ?? [])]).concat(d.end) : [];
  const written = new Set(brought.flatMap((n) => n.outputs));
  const lost = d?.weights ? [...g.weights.keys()].filter((name) => !d.weights!.has(name)) : [];
  const vanished = (name: string) =>
    d!.reads.has(name) &&
    !written.has(name) &&
    (d!.definitions.has(name) || d!.nodes.get(v.producer(name)!)?.by !== undefined);

  const nodes: Node[] = [];
  const gone: Node[] = [];
  const come: Node[] = [];
  const end = (name: string) => follow(d!.reads, name);
  const endOfVanished = (name: string) => (vanished(name) ? end(name) : name);
  const renames = d !== undefined && d.reads.size > 0;
  const finish = (n: Node, isNew: boolean, inputs?: ReadonlyMap<number, string>): Node => {
    let m = inner ? mapSubgraphs(n, (s) => made.get(s) ?? s) : n;
    if (renames) m = renameReads(m, isNew && !d.nodes.has(n) ? endOfVanished : end);
    if (inputs) {
      const list = [...m.inputs];
      for (const [i, name] of inputs) list[i] = renames ? endOfVanished(name) : name;
      m = { ...m, inputs: Array.from(list, (name) => name ?? "") };
    }
    if (renames && d.definitions.size > 0 && m.outputs.some((name) => d.definitions.has(name)))
      m = { ...m, outputs: m.outputs.map((name) => d.definitions.get(name) ?? name) };
    return m;
  };
  const place = (n: Node, isNew: boolean, inputs?: ReadonlyMap<number, string>) => {
    const m = inner || renames || inputs ? finish(n, isNew, inputs) : n;
    nodes.push(m);
    if (isNew || m !== n) come.push(m);
    if (!isNew && m !== n) gone.push(n);
  };
  for (const n of g.nodes) {
    const c = d?.nodes.get(n);
    for (const m of c?.before ?? []) place(m, true);
    if (!c?.by) place(n, false, c?.inputs);
    else {
      gone.push(n);
      for (const m of c.by) place(m, true);
    }
  }
  for (const m of d?.end ?? []) place(m, true);

  const lostNames = gone.flatMap((n) => n.outputs).concat(lost);
  const comeNames = new Set(come.flatMap((n) => n.outputs));
  const types = d?.types ?? g.types;
  const stale = new Set(lostNames.filter((name) => types.has(name) && !comeNames.has(name)));
  let graph = update(g, {
    nodes: come.length + gone.length > 0 ? nodes : g.nodes,
    weights: d?.weights ?? g.weights,
    types: stale.size > 0 ? new Map([...types].filter(([name]) => !stale.has(name))) : types,
    ...d?.parts,
  });
  if (graph === g) return g;
  // What is read from around is checked there, among what the node that holds this graph reads.
  const check = () =>
    verifyGraph(graph, {
      path: v.path,
      outside: () => v.parent !== undefined,
      ...(d?.parts ? {} : { watched: new Set([...lostNames, ...comeNames, ...come.flatMap(readsOf)]) }),
    });
  carry(g, graph, gone, come);
  if (check().length > 0) {
    const sorted = { ...graph, nodes: inOrder(graph.nodes) };
    carry(graph, sorted, [], []);
    graph = sorted;
    ensure(check());
  }
  return graph;
}
