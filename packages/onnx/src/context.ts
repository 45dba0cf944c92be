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

/** `before` gets the nodes that hold constants where the graph can have no weights: in the body of a function. */
export function nodeContext(
  e: Edit,
  view: GraphView,
  n: Node,
  before: Node[],
  file: { readonly file?: string } = {},
): NodeContext {
  const isBody = !view.parent && view !== e.view.main;
  return {
    view,
    location: { ...file, ...(view.path ? { graph: view.path } : {}), node: labelOf(n), op: n.op },
    constant(base, t) {
      if (!isBody) return e.addWeight(view, e.fresh(base), t);
      const name = e.fresh(base);
      before.push(node("Constant", [], [name], { value: attr.tensor(t) }));
      return name;
    },
    fresh: (base) => e.fresh(base),
  };
}
