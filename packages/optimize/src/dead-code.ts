import { definePass, edit, type GraphView, type Node, PASS_API_VERSION } from "@pare/core";
import { childrenByNode } from "./children.ts";

/**
 * Removes nodes whose outputs nothing needs, in all graphs, and weights that nothing reads. Nodes without outputs stay:
 * they are there for an effect.
 */
export const removeDeadCode = definePass({
  name: "remove-dead-code",
  apiVersion: PASS_API_VERSION,
  run: (model, _, ctx) =>
    edit(model, (e) => {
      for (const view of e.view.graphs) {
        if (view.parent) continue;
        sweep(
          view,
          (dead, of) => {
            e.replace(dead, []);
            ctx.done({ view: of, node: dead });
          },
          (name, of) => e.removeWeight(of, name),
        );
      }
    }),
});

/** Finds what is dead in a graph and the graphs inside its live nodes; gives the outer values that the live rest reads. */
function sweep(
  view: GraphView,
  onDeadNode: (n: Node, of: GraphView) => void,
  onDeadWeight: (name: string, of: GraphView) => void,
): Set<string> {
  const needed = new Set(view.graph.outputs.map((v) => v.name));
  const children = childrenByNode(view);
  for (const n of view.graph.nodes.toReversed()) {
    if (n.outputs.length > 0 && !n.outputs.some((out) => needed.has(out))) {
      onDeadNode(n, view);
      continue;
    }
    for (const v of n.inputs) needed.add(v);
    for (const child of children.get(n) ?? []) for (const v of sweep(child, onDeadNode, onDeadWeight)) needed.add(v);
  }
  const inputs = new Set(view.graph.inputs.map((v) => v.name));
  for (const name of view.graph.weights.keys()) if (!needed.has(name) && !inputs.has(name)) onDeadWeight(name, view);
  const outer = new Set<string>();
  for (const v of needed) if (v !== "" && view.definer(v) !== view) outer.add(v);
  return outer;
}
