import type { DType } from "./dtype.ts";
import { capturesOf, defines, holdsGraph, indexOf, infosOf } from "./local.ts";
import {
  attribute,
  type FunctionDef,
  type Graph,
  labelOf,
  type Model,
  type Node,
  operatorOf,
  subgraphsOf,
  type ValueInfo,
} from "./model.ts";
import { once, push, recall } from "./recall.ts";
import { type ResidentTensor, type Tensor, tensor } from "./tensor.ts";

/** One place where a value is read: input `index` of `node`, in `view` (this graph or one inside it). */
export interface Use {
  readonly view: GraphView;
  readonly node: Node;
  readonly index: number;
}

/** A graph with its surroundings and an index of who writes and who reads each value. */
export interface GraphView {
  readonly graph: Graph;
  /** `""` for the main graph, `If_3/then_branch`, `function ai.acme.Mish`. */
  readonly path: string;
  /** The graph around this one, whose names are visible here, and the node that holds this one. */
  readonly parent: GraphView | undefined;
  readonly holder: Node | undefined;
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
const constants = new WeakMap<Node, Tensor | undefined>();

/** The index of a model, remembered for as long as the model lives. */
export const viewOf = (model: Model): ModelView => recall(views, model, modelView);

/** A value's constant, when its bytes are in memory. */
export function constantOf(view: GraphView, value: string): ResidentTensor | undefined {
  const t = view.constant(value);
  return t?.bytes ? (t as ResidentTensor) : undefined;
}

/** The tensor that a `Constant` node holds in whichever attribute. */
export const constantNodeValue = (n: Node): Tensor | undefined =>
  operatorOf(n) === "Constant"
    ? (attribute(n, "value", "tensor") ??
      recall(constants, n, () => numbersOf(n, "float", "float32") ?? numbersOf(n, "int", "int64")))
    : undefined;

function numbersOf(n: Node, type: "float" | "int", dtype: DType): Tensor | undefined {
  const one = attribute(n, `value_${type}`, type);
  const many = attribute(n, `value_${type}s`, `${type}s`);
  return one !== undefined ? tensor(dtype, [], [one]) : many && tensor(dtype, [many.length], many);
}

export const functionPath = (f: FunctionDef): string =>
  `function ${f.domain}.${f.name}${f.overload && `:${f.overload}`}`;

function modelView(model: Model): ModelView {
  const seen = new Map<Graph, GraphView>();
  const enter = (g: Graph, path: string, parent?: GraphView, holder?: Node): GraphView => {
    const known = seen.get(g);
    if (known) return known;
    const made = graphView(g, path, parent, holder);
    seen.set(g, made);
    const inside = (n: Node) =>
      Array.from(subgraphsOf(n), (s) => enter(s.graph, `${path && `${path}/`}${labelOf(n)}/${s.attribute}`, made, n));
    made.children = [...new Set(g.nodes.filter(holdsGraph).flatMap(inside))];
    return made;
  };
  const main = enter(model.graph, "");
  for (const f of model.functions) enter(f.body, functionPath(f));
  const graphs = [...seen.values()];
  const places = once(() => {
    const map = new Map<Node, GraphView>();
    for (const v of graphs) for (const n of v.graph.nodes) map.set(n, v);
    return map;
  });
  return {
    model,
    main,
    graphs,
    of: (n) => (n.outputs.some((v) => main.producer(v) === n) ? main : places().get(n)),
  };
}

function graphView(graph: Graph, path: string, parent?: GraphView, holder?: Node) {
  const uses = new Map<string, readonly Use[]>();
  const capturing = once(() => {
    const map = new Map<string, GraphView[]>();
    for (const child of self.children) for (const name of capturesOf(child.graph)) push(map, name, child);
    return map;
  });
  const self: GraphView & { children: readonly GraphView[] } = {
    graph,
    path,
    parent,
    holder,
    children: [],
    producer: (v) => indexOf(graph.nodes).writers.get(v),
    uses: (v) =>
      recall(uses, v, () => {
        const own: Use[] = [];
        for (const node of indexOf(graph.nodes).readers.get(v) ?? [])
          node.inputs.forEach((name, index) => {
            if (name === v) own.push({ view: self, node, index });
          });
        return own.concat((capturing().get(v) ?? []).flatMap((child) => child.uses(v)));
      }),
    isOutput: (v) => infosOf(graph.outputs).has(v),
    definer: (v) => (defines(graph, v) ? self : parent?.definer(v)),
    info: (v) => graph.types.get(v) ?? infosOf(graph.inputs).get(v) ?? infosOf(graph.outputs).get(v),
    constant(v) {
      const made = self.producer(v);
      if (made) return constantNodeValue(made);
      if (infosOf(graph.inputs).has(v)) return undefined;
      return graph.weights.get(v) ?? (defines(graph, v) ? undefined : parent?.constant(v));
    },
  };
  return self;
}
