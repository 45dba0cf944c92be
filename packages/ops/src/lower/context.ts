import { attr, type Edit, type GraphView, type Location, labelOf, type Node, node, type Tensor } from "@pare/core";

/** Where a node that is converted stands, and the names and constants that its conversion adds. */
export interface NodeContext {
  readonly view: GraphView;
  /** Where the node is, for errors. */
  readonly location: Location;
  /** Adds a constant and returns its name. */
  constant(base: string, t: Tensor): string;
  fresh(base: string): string;
}

/**
 * `before` gets the nodes that hold constants where the graph can have no weights: in the body of a function. In other
 * graphs small constants that are alike are one, if `shared` keeps their names.
 */
export function nodeContext(
  e: Edit,
  view: GraphView,
  n: Node,
  before: Node[],
  { file, shared }: { readonly file?: string; readonly shared?: Map<string, string> } = {},
): NodeContext {
  const isBody = !view.parent && view !== e.view.main;
  const added = (base: string, t: Tensor) => {
    const id = shared && t.bytes && t.byteLength <= 64 ? `${t.dtype} [${t.shape}] ${t.bytes}` : undefined;
    const known = id === undefined ? undefined : shared!.get(id);
    if (known !== undefined) return known;
    const name = e.addWeight(view, e.fresh(base), t);
    if (id !== undefined) shared!.set(id, name);
    return name;
  };
  return {
    view,
    location: {
      ...(file === undefined ? {} : { file }),
      ...(view.path ? { graph: view.path } : {}),
      node: labelOf(n),
      op: n.op,
    },
    constant(base, t) {
      if (!isBody) return added(base, t);
      const name = e.fresh(base);
      before.push(node("Constant", [], [name], { value: attr.tensor(t) }));
      return name;
    },
    fresh: (base) => e.fresh(base),
  };
}
