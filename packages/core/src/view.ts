import { attribute, type FunctionDef, type Graph, type Model, type Node, subgraphsOf, type ValueInfo } from "./model.ts";
import { type ResidentTensor, type Tensor, tensor } from "./tensor.ts";

/** One place where a value is read: input `index` of `node`, in `view` (this graph or one inside it). */
export interface Use {
  readonly view: GraphView;
  readonly node: Node;
  readonly index: number;
}

/** A graph with its surroundings and an index of who writes and who reads each value. Made once for a model. */
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
  /** All reads of a value that this graph defines, those in graphs inside it included, in order. Outputs are not reads. */
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

/** All graphs of a model, each before those inside it: the main graph, subgraphs, bodies of functions. */
export interface ModelView {
  readonly model: Model;
  readonly main: GraphView;
  readonly graphs: readonly GraphView[];
  /** The view that holds a node. */
  of(node: Node): GraphView | undefined;
}

const views = new WeakMap<Model, ModelView>();

/** The index of a model, remembered for as long as the model lives. */
export function viewOf(model: Model): ModelView {
  let view = views.get(model);
  if (!view) views.set(model, (view = buildView(model)));
  return view;
}

/** A value's constant, when its bytes are in memory. */
export function constantOf(view: GraphView, value: string): ResidentTensor | undefined {
  const t = view.constant(value);
  return t?.bytes ? (t as ResidentTensor) : undefined;
}

/** The tensor that a `Constant` node holds in whichever attribute. */
export function constantNodeValue(n: Node): Tensor | undefined {
  if (n.op !== "Constant" || n.domain !== "") return undefined;
  const t = attribute(n, "value", "tensor");
  if (t) return t;
  for (const [name, a] of n.attributes) {
    if (name === "value_float" && a.type === "float") return tensor("float32", [], [a.value]);
    if (name === "value_int" && a.type === "int") return tensor("int64", [], [BigInt(a.value)]);
    if (name === "value_floats" && a.type === "floats") return tensor("float32", [a.value.length], a.value);
    if (name === "value_ints" && a.type === "ints") return tensor("int64", [a.value.length], a.value.map(BigInt));
  }
  return undefined;
}

export const functionPath = (f: FunctionDef): string =>
  `function ${f.domain}.${f.name}${f.overload && `:${f.overload}`}`;

function buildView(model: Model): ModelView {
  const graphs: GraphView[] = [];
  const holders = new Map<Node, GraphView>();
  const enter = (g: Graph, path: string, parent?: GraphView, holder?: Node): GraphView => {
    const made = graphView(g, path, parent, holder);
    graphs.push(made);
    for (const n of g.nodes) {
      holders.set(n, made);
      for (const inner of subgraphsOf(n))
        made.children.push(
          enter(inner.graph, `${path && `${path}/`}${n.name || n.outputs[0] || n.op}/${inner.attribute}`, made, n),
        );
    }
    return made;
  };
  const main = enter(model.graph, "");
  for (const f of model.functions) enter(f.body, functionPath(f));
  return { model, main, graphs, of: (n) => holders.get(n) };
}

function graphView(g: Graph, path: string, parent?: GraphView, holder?: Node): GraphView & { children: GraphView[] } {
  const producers = lazily(() => {
    const map = new Map<string, Node>();
    for (const n of g.nodes) for (const out of n.outputs) if (out !== "") map.set(out, n);
    return map;
  });
  const inputs = lazily(() => new Map(g.inputs.map((v) => [v.name, v])));
  const outputs = lazily(() => new Map(g.outputs.map((v) => [v.name, v])));
  const defines = (v: string) =>
    producers().has(v) || g.weights.has(v) || inputs().has(v) || g.sparseWeights.has(v);
  const uses = lazily(() => {
    const map = new Map<string, Use[]>();
    const collect = (view: GraphView, hidden: (v: string) => boolean) => {
      for (const n of view.graph.nodes)
        n.inputs.forEach((v, index) => {
          if (v === "" || hidden(v)) return;
          const list = map.get(v);
          if (list) list.push({ view, node: n, index });
          else map.set(v, [{ view, node: n, index }]);
        });
      for (const child of view.children) collect(child, (v) => hidden(v) || child.definer(v) === child);
    };
    collect(self, () => false);
    return map;
  });
  const constants = new Map<string, Tensor | undefined>();
  const self: GraphView & { children: GraphView[] } = {
    graph: g,
    path,
    ...(parent ? { parent } : {}),
    ...(holder ? { holder } : {}),
    children: [],
    producer: (v) => producers().get(v),
    uses: (v) => uses().get(v) ?? [],
    isOutput: (v) => outputs().has(v),
    definer: (v) => (defines(v) ? self : parent?.definer(v)),
    info: (v) => g.types.get(v) ?? inputs().get(v) ?? outputs().get(v),
    constant(v) {
      if (!defines(v)) return parent?.constant(v);
      if (constants.has(v)) return constants.get(v);
      const made = producers().get(v);
      const found = inputs().has(v) ? undefined : (g.weights.get(v) ?? (made && constantNodeValue(made)));
      constants.set(v, found);
      return found;
    },
  };
  return self;
}

function lazily<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}
