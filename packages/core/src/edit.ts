import { failure } from "./diagnostic.ts";
import { definedIn, defines } from "./local.ts";
import { attr, type Graph, type Model, type Node, placeOf, type ValueInfo } from "./model.ts";
import { commit, type Draft, emptyDraft, follow, type NodeDraft } from "./rebuild.ts";
import { once, recall } from "./recall.ts";
import { formatType, type Tensor } from "./tensor.ts";
import { type GraphView, type ModelView, type Use, viewOf } from "./view.ts";
import { type Weight, type WeightSelection, weightsOf } from "./weight.ts";

/**
 * A batch of changes. Everything is read from the model before the batch; changes appear together in the result. A
 * node is replaced once in a batch, and the order of calls does not matter.
 */
export interface Edit {
  readonly model: Model;
  readonly view: ModelView;
  /** The constants that match, in the order of graphs and nodes. */
  weights(select?: WeightSelection): Iterable<Weight>;
  /** Gives a constant other contents; element type and shape stay. */
  setWeight(weight: Weight, tensor: Tensor): void;
  /**
   * Adds a constant and returns its name: `name` if it comes from `fresh` or the node that wrote it was replaced,
   * otherwise one made unique from it.
   */
  addWeight(view: GraphView, name: string, tensor: Tensor): string;
  /** Takes a weight (not a `Constant` node: remove that) out of its graph. */
  removeWeight(view: GraphView, name: string): void;
  /** A value name that no graph of the model has, close to `base`. */
  fresh(base: string): string;
  /** Puts nodes in the place of `node`; none removes it. */
  replace(node: Node, by: readonly Node[]): void;
  /** Adds nodes before `node`, or at the end of the graph. They are moved where what they read needs it. */
  insert(view: GraphView, nodes: readonly Node[], before?: Node): void;
  /** Makes one input of one node read another value. */
  setInput(use: Use, value: string): void;
  /**
   * Makes all that reads `from` read `to`, in the graphs inside too. Nodes that the batch adds go on reading `from` as
   * long as something writes it. Where `from` is an output of its graph, `to` is renamed to it instead. Where that
   * cannot be, or `from` was replaced in this batch before, nothing is changed and the answer is false.
   */
  replaceValue(view: GraphView, from: string, to: string): boolean;
  /** Says what type a value of the graph has. */
  setType(view: GraphView, info: ValueInfo): void;
  /** Changes what is not structure of nodes: inputs, outputs, all types of inner values, name. */
  setGraph(view: GraphView, parts: Partial<Pick<Graph, "inputs" | "outputs" | "types" | "name" | "extra">>): void;
  setModel(parts: Partial<Pick<Model, "opsets" | "metadata" | "functions" | "extra">>): void;
}

/**
 * Changes a model in one batch. The result is checked where it was touched; it is the same object when nothing was
 * changed. When `change` throws, nothing has happened.
 * @throws PareError when the changed graphs are not well formed: `core/undefined-value`, `core/duplicate-value`,
 *   `core/cycle`, `core/shadowed`; when a node is of another model or changed twice: `core/unknown-node`, `core/edited-twice`
 */
export function edit(model: Model, change: (e: Edit) => void): Model {
  const view = viewOf(model);
  const drafts = new Map<GraphView, Draft>();
  const parts: Partial<Model> = {};
  /** Names of values of all graphs but the main one. */
  const inside = once(() => new Set(view.graphs.slice(1).flatMap((v) => definedIn(v.graph))));
  /** Names that were given, and how many were made from each. */
  const given = new Map<string, number>();
  /** Names that `fresh` gave and nothing has taken yet. */
  const reserved = new Set<string>();

  const draft = (v: GraphView) => recall(drafts, v, emptyDraft);
  const weightsDraft = (v: GraphView) => (draft(v).parts.weights ??= new Map(v.graph.weights));
  const nodeDraft = (n: Node, holder = view.of(n)): NodeDraft => {
    if (!holder || view.of(n) !== holder) fail("core/unknown-node", "is of another graph", n);
    return recall(draft(holder).nodes, n, () => ({ before: [] }));
  };

  const e: Edit = {
    model,
    view,
    weights: (select) => weightsOf(view, select),
    setWeight(w, tensor) {
      if (formatType(tensor) !== formatType(w.tensor))
        throw failure("core/weight-type", `a ${formatType(w.tensor)} cannot become a ${formatType(tensor)}`, {
          hint: "Add another weight.",
          location: { value: w.name },
        });
      if (tensor === w.tensor) return;
      if (w.node) e.replace(w.node, [{ ...w.node, attributes: new Map([["value", attr.tensor(tensor)]]) }]);
      else weightsDraft(w.view).set(w.name, tensor);
    },
    addWeight(v, name, tensor) {
      const unique = reserved.has(name) || draft(v).nodes.get(v.producer(name)!)?.by ? name : e.fresh(name);
      reserved.delete(unique);
      weightsDraft(v).set(unique, tensor);
      return unique;
    },
    removeWeight(v, name) {
      if (v.graph.weights.has(name)) weightsDraft(v).delete(name);
    },
    fresh(base) {
      let name = base;
      let count = given.get(base) ?? 0;
      while (given.has(name) || defines(model.graph, name) || inside().has(name)) name = `${base}_${++count}`;
      given.set(name, 0).set(base, count);
      reserved.add(name);
      return name;
    },
    replace(n, by) {
      const d = nodeDraft(n);
      if (d.by || d.inputs) failTwice(n);
      d.by = by;
    },
    insert(v, nodes, before) {
      const list = before ? nodeDraft(before, v).before : draft(v).end;
      for (const n of nodes) list.push(n);
    },
    setInput({ node: n, index }, value) {
      if (n.inputs[index] === value) return;
      const d = nodeDraft(n);
      if (d.by) failTwice(n);
      (d.inputs ??= [])[index] = value;
    },
    replaceValue(v, from, to) {
      const { reads, definitions } = draft(v);
      const source = follow(reads, to);
      if (from === source) return true;
      if (reads.has(from) || definitions.has(from)) return false;
      if (!v.isOutput(from)) reads.set(from, source);
      else {
        if (!v.producer(source) || v.isOutput(source)) return false;
        reads.set(source, from);
        // The second marks the output as taken.
        definitions.set(source, from).set(from, from);
      }
      return true;
    },
    setType(v, info) {
      const old = v.graph.types.get(info.name);
      if (JSON.stringify(old?.type) === JSON.stringify(info.type) && old?.extra === info.extra) return;
      (draft(v).parts.types ??= new Map(v.graph.types)).set(info.name, info);
    },
    setGraph: (v, more) => void Object.assign<object, object>(draft(v).parts, more),
    setModel: (more) => void Object.assign(parts, more),
  };

  change(e);
  return commit(view, drafts, parts);
}

const failTwice = (n: Node) => fail("core/edited-twice", "is changed twice", n);

function fail(code: string, message: string, n: Node): never {
  throw failure(code, `this node ${message}`, { location: placeOf(n) });
}
