import { failure, PareError } from "./diagnostic.ts";
import { attr, type Graph, mapSubgraphs, type Model, type Node, type ValueInfo } from "./model.ts";
import { inOrder } from "./order.ts";
import type { Tensor } from "./tensor.ts";
import { verifyView } from "./verify.ts";
import { constantNodeValue, type GraphView, type ModelView, type Use, viewOf } from "./view.ts";

/** A constant of the model, wherever it stands: a graph's weight or a `Constant` node, in any graph. */
export interface Weight {
  readonly view: GraphView;
  /** The name of its value. */
  readonly name: string;
  readonly tensor: Tensor;
  /** The `Constant` node that holds it, if one does. */
  readonly node?: Node;
  readonly uses: readonly Use[];
}

export interface WeightSelection {
  /** Operators (of the standard domain, or `domain.op`) that read it; with a map, at which inputs. Default: any. */
  readonly ops?: readonly string[] | ReadonlyMap<string, readonly number[]>;
  /** Which names; default all. */
  readonly names?: (name: string) => boolean;
}

/** A batch of changes. Everything is read from the model before the batch; changes appear together in the result. */
export interface Edit {
  readonly model: Model;
  readonly view: ModelView;
  /** The constants that match, in the order of graphs and nodes. */
  weights(select?: WeightSelection): Iterable<Weight>;
  /** Gives a constant other contents; element type and shape stay. */
  setWeight(weight: Weight, tensor: Tensor): void;
  /** Adds a constant and returns its name: `name` if it comes from `fresh`, otherwise one made unique from it. */
  addWeight(view: GraphView, name: string, tensor: Tensor): string;
  /** Takes a weight (not a `Constant` node: remove that) out of its graph. */
  removeWeight(view: GraphView, name: string): void;
  /** A value name that no graph of the model has, close to `base`. */
  fresh(base: string): string;
  /** Puts nodes in the place of `node`; none removes it. A node may be replaced once. */
  replace(node: Node, by: readonly Node[]): void;
  /** Adds nodes before `node`, or at the end of the graph. */
  insert(view: GraphView, nodes: readonly Node[], before?: Node): void;
  /** Makes one input of one node read another value. */
  setInput(use: Use, value: string): void;
  /**
   * Makes all that reads `from` read `to`, in the graphs inside too. Where `from` is an output of its graph, `to` is
   * renamed to it instead; where that cannot be, nothing is changed and the answer is false.
   */
  replaceValue(view: GraphView, from: string, to: string): boolean;
  /** Says what type a value of the graph has. */
  setType(view: GraphView, info: ValueInfo): void;
  /** Changes what is not structure of nodes: inputs, outputs, name. */
  setGraph(view: GraphView, parts: Partial<Pick<Graph, "inputs" | "outputs" | "name" | "extra">>): void;
  setModel(parts: Partial<Pick<Model, "opsets" | "metadata" | "functions" | "extra">>): void;
}

interface Draft {
  readonly replaced: Map<Node, readonly Node[]>;
  readonly before: Map<Node | undefined, Node[]>;
  readonly inputs: Map<Node, Map<number, string>>;
  /** Reads of the key become reads of the value. */
  readonly reads: Map<string, string>;
  /** Definitions of the key become definitions of the value (and reads follow). */
  readonly definitions: Map<string, string>;
  weights?: Map<string, Tensor>;
  types?: Map<string, ValueInfo>;
  parts?: Partial<Graph>;
}

/**
 * Changes a model in one batch. The result is checked where it was touched; it is the same object when nothing was
 * changed. When `change` throws, nothing has happened.
 * @throws PareError when the changed graphs are not well formed: `core/undefined-value`, `core/duplicate-value`, `core/cycle`
 */
export function edit(model: Model, change: (e: Edit) => void): Model {
  const view = viewOf(model);
  const drafts = new Map<GraphView, Draft>();
  let modelParts: Partial<Model> | undefined;
  let names: Set<string> | undefined;
  /** Names that `fresh` gave and nothing has taken yet. */
  const reserved = new Set<string>();

  const draft = (v: GraphView): Draft => {
    let d = drafts.get(v);
    if (!d) {
      d = { replaced: new Map(), before: new Map(), inputs: new Map(), reads: new Map(), definitions: new Map() };
      drafts.set(v, d);
    }
    return d;
  };
  const draftOf = (n: Node): Draft => {
    const v = view.of(n);
    if (!v) throw failure("core/unknown-node", "this node is not of the model that is being edited", at(n));
    return draft(v);
  };
  const once = (n: Node, d: Draft) => {
    if (d.replaced.has(n)) throw failure("core/edited-twice", "this node was already replaced in this batch", at(n));
  };

  const e: Edit = {
    model,
    view,
    weights: (select) => weightsOf(view, select),
    setWeight(w, tensor) {
      const same = tensor.dtype === w.tensor.dtype && String(tensor.shape) === String(w.tensor.shape);
      if (!same)
        throw failure(
          "core/weight-type",
          `${w.tensor.dtype} [${w.tensor.shape}] cannot be set to ${tensor.dtype} [${tensor.shape}]`,
          { location: { value: w.name }, hint: "Add a weight and the nodes that convert it, then replaceValue." },
        );
      if (tensor === w.tensor) return;
      const d = draft(w.view);
      if (w.node) {
        once(w.node, d);
        d.replaced.set(w.node, [{ ...w.node, attributes: new Map([["value", attr.tensor(tensor)]]) }]);
      } else (d.weights ??= new Map(w.view.graph.weights)).set(w.name, tensor);
    },
    addWeight(v, name, tensor) {
      const unique = reserved.delete(name) ? name : e.fresh(name);
      reserved.delete(unique);
      const d = draft(v);
      (d.weights ??= new Map(v.graph.weights)).set(unique, tensor);
      return unique;
    },
    removeWeight(v, name) {
      if (v.graph.weights.has(name)) (draft(v).weights ??= new Map(v.graph.weights)).delete(name);
    },
    fresh(base) {
      names ??= allNames(view);
      let name = base;
      for (let i = 1; names.has(name); i++) name = `${base}_${i}`;
      names.add(name);
      reserved.add(name);
      return name;
    },
    replace(n, by) {
      const d = draftOf(n);
      once(n, d);
      if (by.length !== 1 || by[0] !== n) d.replaced.set(n, by);
    },
    insert(v, nodes, before) {
      if (nodes.length === 0) return;
      const map = draft(v).before;
      map.set(before, [...(map.get(before) ?? []), ...nodes]);
    },
    setInput({ node: n, index }, value) {
      if (n.inputs[index] === value) return;
      const { inputs } = draftOf(n);
      inputs.set(n, (inputs.get(n) ?? new Map()).set(index, value));
    },
    replaceValue(v, from, to) {
      const d = draft(v);
      const source = follow(d, to);
      if (from === source) return true;
      if (!v.isOutput(from)) {
        d.reads.set(from, source);
        return true;
      }
      const definedByNode = v.producer(source) !== undefined && !d.definitions.has(source);
      if (!definedByNode || v.isOutput(source)) return false;
      d.definitions.set(source, from);
      d.reads.set(source, from);
      return true;
    },
    setType(v, info) {
      const d = draft(v);
      (d.types ??= new Map(v.graph.types)).set(info.name, info);
    },
    setGraph(v, parts) {
      const d = draft(v);
      d.parts = { ...d.parts, ...parts };
    },
    setModel(parts) {
      modelParts = { ...modelParts, ...parts };
    },
  };

  change(e);
  const rebuilt = rebuild(view, drafts);
  const functions = (modelParts?.functions ?? model.functions).map((f) => {
    const body = rebuilt.get(f.body);
    return body && body !== f.body ? { ...f, body } : f;
  });
  const main = rebuilt.get(model.graph) ?? model.graph;
  const sameFunctions = functions.length === model.functions.length && functions.every((f, i) => f === model.functions[i]);
  if (main === model.graph && sameFunctions && !modelParts) return model;
  const result: Model = { ...model, ...modelParts, graph: main, functions: sameFunctions ? model.functions : functions };

  const touched = new Set(rebuilt.values());
  const problems = viewOf(result).graphs.filter((v) => touched.has(v.graph)).flatMap(verifyView);
  if (problems.length > 0) throw new PareError(problems.slice(0, 20));
  return result;
}

const at = (n: Node) => ({ location: { node: n.name || n.outputs[0] || n.op, op: n.op } });

/** Where reads of a value go in the end. */
function follow(d: Draft, value: string): string {
  let v = value;
  for (let next = d.reads.get(v); next !== undefined && next !== v; next = d.reads.get(v)) v = next;
  return v;
}

/** The constants of a model that match, in the order of graphs and nodes. */
export function* weightsOf(view: ModelView, { ops, names }: WeightSelection = {}): Iterable<Weight> {
  const positions = ops instanceof Map ? (ops as ReadonlyMap<string, readonly number[]>) : undefined;
  const listed = ops && new Set(ops instanceof Map ? ops.keys() : (ops as readonly string[]));
  const wanted = ({ node: n, index }: Use) => {
    const op = n.domain === "" ? n.op : `${n.domain}.${n.op}`;
    return !listed || (listed.has(op) && (positions?.get(op)?.includes(index) ?? true));
  };
  for (const v of view.graphs) {
    const select = (name: string, tensor: Tensor, n?: Node): Weight[] => {
      if (names && !names(name)) return [];
      const uses = v.uses(name);
      return !listed || uses.some(wanted) ? [{ view: v, name, tensor, uses, ...(n ? { node: n } : {}) }] : [];
    };
    for (const [name, tensor] of v.graph.weights) yield* select(name, tensor);
    for (const n of v.graph.nodes) {
      const tensor = constantNodeValue(n);
      if (tensor && n.outputs[0]) yield* select(n.outputs[0], tensor, n);
    }
  }
}

function allNames(view: ModelView): Set<string> {
  const names = new Set<string>();
  for (const { graph: g } of view.graphs) {
    for (const v of g.inputs) names.add(v.name);
    for (const name of g.weights.keys()) names.add(name);
    for (const name of g.sparseWeights.keys()) names.add(name);
    for (const n of g.nodes) for (const out of n.outputs) names.add(out);
  }
  return names;
}

/** New graphs for those that a draft, or a renaming around them, changes; innermost first. */
function rebuild(view: ModelView, drafts: ReadonlyMap<GraphView, Draft>): Map<Graph, Graph> {
  const done = new Map<Graph, Graph>();
  const dirty = new Set<GraphView>();
  for (const v of drafts.keys()) for (let up: GraphView | undefined = v; up; up = up.parent) dirty.add(up);

  type Rename = (value: string) => string;
  const visit = (v: GraphView, outer: Rename | undefined): Graph => {
    const d = drafts.get(v);
    if (!outer && !dirty.has(v)) return v.graph;
    const around: Rename | undefined = outer && ((name) => (v.definer(name) === v ? name : outer(name)));
    const own: Rename | undefined = d && d.reads.size > 0 ? (name) => follow(d, name) : undefined;
    const rename: Rename | undefined = own && around ? (name) => own(around(name)) : (own ?? around);
    const inner = new Map<Node, GraphView[]>();
    for (const child of v.children) inner.set(child.holder!, [...(inner.get(child.holder!) ?? []), child]);

    const finish = (n: Node, original: Node | undefined): Node => {
      let result = n;
      const children = original && inner.get(original);
      if (children) {
        const graphs = new Map(children.map((c) => [c.graph, visit(c, rename)]));
        result = mapSubgraphs(result, (g) => graphs.get(g) ?? g);
      }
      const set = original && d?.inputs.get(original);
      if (set) result = { ...result, inputs: result.inputs.map((name, i) => set.get(i) ?? name) };
      if (rename && result.inputs.some((name) => rename(name) !== name))
        result = { ...result, inputs: result.inputs.map(rename) };
      if (d && d.definitions.size > 0 && result.outputs.some((name) => d.definitions.has(name)))
        result = { ...result, outputs: result.outputs.map((name) => d.definitions.get(name) ?? name) };
      return result;
    };

    const nodes: Node[] = [];
    const add = (list: readonly Node[] | undefined, original?: Node) => {
      for (const n of list ?? []) nodes.push(finish(n, original));
    };
    for (const n of v.graph.nodes) {
      add(d?.before.get(n));
      const by = d?.replaced.get(n);
      // A replacement that carries the node's subgraphs on has them rebuilt like the node itself.
      if (by) add(by, n);
      else nodes.push(finish(n, n));
    }
    add(d?.before.get(undefined));

    const sameNodes = nodes.length === v.graph.nodes.length && nodes.every((n, i) => n === v.graph.nodes[i]);
    const outputs = rename && !d?.parts?.outputs ? renameOutputs(v.graph.outputs, rename) : undefined;
    if (sameNodes && !d?.weights && !d?.types && !d?.parts && !outputs) return v.graph;
    const made: Graph = {
      ...v.graph,
      ...(sameNodes ? {} : { nodes: inOrder(nodes) }),
      ...(d?.weights ? { weights: d.weights } : {}),
      ...(d?.types ? { types: d.types } : {}),
      ...(!sameNodes && !d?.types && v.graph.types.size > 0 ? { types: liveTypes(v.graph, nodes) } : {}),
      ...d?.parts,
      ...(outputs ? { outputs } : {}),
    };
    done.set(v.graph, made);
    return made;
  };
  for (const v of view.graphs) if (!v.parent) visit(v, undefined);
  return done;
}

/** Types of values that are still written. */
function liveTypes(g: Graph, nodes: readonly Node[]): ReadonlyMap<string, ValueInfo> {
  const written = new Set(nodes.flatMap((n) => n.outputs));
  for (const v of g.inputs) written.add(v.name);
  const live = [...g.types].filter(([name]) => written.has(name) || g.weights.has(name));
  return live.length === g.types.size ? g.types : new Map(live);
}

function renameOutputs(outputs: readonly ValueInfo[], rename: (v: string) => string): ValueInfo[] | undefined {
  const renamed = outputs.map((o) => (rename(o.name) === o.name ? o : { ...o, name: rename(o.name) }));
  return renamed.some((o, i) => o !== outputs[i]) ? renamed : undefined;
}
