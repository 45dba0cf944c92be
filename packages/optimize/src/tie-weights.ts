import { definePass, edit, type GraphView, PASS_API_VERSION, viewOf, type Weight, weightsOf } from "@pare/core";
import { equalContents, groupBy, inFunction } from "@pare/ops/weights";

/**
 * Stores weights with equal contents once, where the graphs that read them all see it. Large ones are read only when
 * another has the same type and size, and are compared byte for byte.
 */
export const tieWeights = definePass({
  name: "tie-weights",
  apiVersion: PASS_API_VERSION,
  reads: "weights",
  async run(model, _, ctx) {
    const own = [...weightsOf(viewOf(model))].filter(isOwn);
    const groups: Weight[][] = [];
    for (const alike of groupBy(own, (w) => `${w.tensor.dtype}[${w.tensor.shape}]`))
      groups.push(...(await equalContents(alike, (w) => w.tensor, ctx.signal)));
    return edit(model, (e) => {
      for (const group of groups.filter((g) => g.length > 1)) {
        const home = group.map((w) => w.view).reduce(common);
        const kept = group.find((w) => w.view === home);
        const name = kept?.name ?? e.addWeight(home, e.fresh(group[0]!.name), group[0]!.tensor);
        for (const w of group) {
          if (w === kept) continue;
          for (const use of w.uses) e.setInput(use, name);
          e.removeWeight(w.view, w.name);
          ctx.done(w, { same: name });
        }
      }
    });
  },
});

/** A weight that only its graph can give a value, and that is no output. */
const isOwn = ({ view, name, node }: Weight): boolean =>
  !node && !inFunction(view) && !view.isOutput(name) && !view.graph.inputs.some((v) => v.name === name);

/** The innermost graph that both are in. */
function common(a: GraphView, b: GraphView): GraphView {
  const around = new Set<GraphView>();
  for (let v: GraphView | undefined = a; v; v = v.parent) around.add(v);
  let v = b;
  while (!around.has(v)) v = v.parent!;
  return v;
}
