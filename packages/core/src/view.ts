import { capturesOf, defines, holdersOf, infosOf, producersOf, push, type Read, readersOf, recall } from "./local.ts";
import {
  attribute,
  type FunctionDef,
  type Graph,
  labelOf,
  type Model,
  type Node,
  subgraphsOf,
  type ValueInfo,
} from "./model.ts";
import { type ResidentTensor, type Tensor, tensor } from "./tensor.ts";

/** One place where a value is read: input `index` of `node`, in `view` (this graph or one inside it). */
export interface Use extends Read {
  readonly view: GraphView;
}

/** A graph with its surroundings and an index of who writes and who reads each value. */
export interface GraphView {
  readonly graph: Graph;
  /** `""` for the main graph, `If_3/then_branch`, `function ai.acme.Mish`. */
  readonly path: string;
  /** The graph around this one, whose names are visible here, and the node that holds this one. */
  readonly parent?: GraphView;
  readonly holder?: Node;
  readonly children: readonly GraphView[];
  /** The node of this graph that writes `value`. */
  producer(value: string): Node | undefined;
  /** All reads of a value by nodes of this graph and of those inside it. Outputs of graphs are not among them. */
  uses(value: string): readonly Use[];
  /** Whether `value` is an output of this graph. */
  isOutput(value: string): boolean;
  /** The view that defines `value`, from here outwards. */
  definer(value: string): GraphView | undefined;
  /** What this graph says of the type of a value it defines. */
  info(value: string): ValueInfo | undefined;
  /** A constant tensor by the name of its value, from here outwards: a weight that is no input, or a `Constant` node's. */
  constant(value: string): Tensor | undefined;
}

/**
 * All graphs of a model, each before those inside it: the main graph, subgraphs, bodies of functions. A graph object
 * that stands in several places has one view, and is edited as one.
 */
export interface ModelView {
  readonly model: Model;
  readonly main: GraphView;
  readonly graphs: readonly GraphView[];
  /** The view that holds a node. */
  of(node: Node): GraphView | undefined;
}

const views = new WeakMap<Model, ModelView>();
const constants = new WeakMap<Node, Tensor>();

/** The index of a model, remembered for as long as the model lives. */
export const viewOf = (model: Model): ModelView => recall(views, model, buildView);

/** A value's constant, when its bytes are in memory. */
export function constantOf(view: GraphView, value: string): ResidentTensor | undefined {
  const t = view.constant(value);
  return t?.bytes ? (t as ResidentTensor) : undefined;
}

/** The tensor that a `Constant` node holds in whichever attribute. */
export function constantNodeValue(n: Node): Tensor | undefined {
  if (n.op !== "Constant" || n.domain !== "") return undefined;
  const held = attribute(n, "value", "tensor") ?? constants.get(n);
  if (held) return held;
  for (const [name, a] of n.attributes)
    if (
      name === `value_${a.type}` &&
      (a.type === "float" || a.type === "floats" || a.type === "int" || a.type === "ints")
    ) {
      const dtype = a.type.startsWith("f") ? "float32" : "int64";
      const made =
        typeof a.value === "object" ? tensor(dtype, [a.value.length], a.value) : tensor(dtype, [], [a.value]);
      constants.set(n, made);
      return made;
    }
  return undefined;
}

export const functionPath = (f: FunctionDef): string =>
  `function ${f.domain}.${f.name}${f.overload && `:${f.overload}`}`;

function buildView(model: Model): ModelView {
  const seen = new Map<Graph, GraphView>();
  const enter = (g: Graph, path: string, parent?: GraphView, holder?: Node): GraphView => {
    const known = seen.get(g);
    if (known) return known;
    const made = graphView(g, path, parent, holder);
    seen.set(g, made);
    const children = new Set<GraphView>();
    for (const n of holdersOf(g))
      for (const inner of subgraphsOf(n))
        children.add(enter(inner.graph, `${path && `${path}/`}${labelOf(n)}/${inner.attribute}`, made, n));
    made.children = [...children];
    return made;
  };
  const main = enter(model.graph, "");
  for (const f of model.functions) enter(f.body, functionPath(f));
  const graphs = [...seen.values()];
  /** Nodes that are not found by what they write in the main graph. */
  let others: Map<Node, GraphView> | undefined;
  const writesMain = (n: Node) => n.outputs.some((v) => main.producer(v) === n);
  return {
    model,
    main,
    graphs,
    of(n) {
      if (writesMain(n)) return main;
      if (!others) {
        others = new Map();
        for (const v of graphs) for (const m of v.graph.nodes) if (v !== main || !writesMain(m)) others.set(m, v);
      }
      return others.get(n);
    },
  };
}

function graphView(g: Graph, path: string, parent?: GraphView, holder?: Node) {
  const uses = new Map<string, readonly Use[]>();
  let capturing: Map<string, GraphView[]> | undefined;
  const insideOf = (v: string): readonly GraphView[] => {
    if (!capturing) {
      capturing = new Map();
      for (const child of self.children) for (const name of capturesOf(child.graph)) push(capturing, name, child);
    }
    return capturing.get(v) ?? [];
  };
  const self: GraphView & { children: readonly GraphView[] } = {
    graph: g,
    path,
    ...(parent && { parent }),
    ...(holder && { holder }),
    children: [],
    producer: (v) => producersOf(g).get(v),
    uses(v) {
      let all = uses.get(v);
      if (!all) {
        const own = (readersOf(g).get(v) ?? []).map(({ node, index }): Use => ({ view: self, node, index }));
        uses.set(v, (all = own.concat(insideOf(v).flatMap((child) => child.uses(v)))));
      }
      return all;
    },
    isOutput: (v) => infosOf(g.outputs).has(v),
    definer: (v) => (defines(g, v) ? self : parent?.definer(v)),
    info: (v) => g.types.get(v) ?? infosOf(g.inputs).get(v) ?? infosOf(g.outputs).get(v),
    constant(v) {
      if (!defines(g, v)) return parent?.constant(v);
      if (infosOf(g.inputs).has(v)) return undefined;
      const made = self.producer(v);
      return g.weights.get(v) ?? (made && constantNodeValue(made));
    },
  };
  return self;
}
