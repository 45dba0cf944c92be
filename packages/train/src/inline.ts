import { type Edit, type Graph, type Model, type Node, PareError, problem, renameReads } from "@pare/core";

/**
 * Adds the nodes of a graph to the main graph of the model that is edited. `given` names the values of its inputs; its inner
 * values and constants get names of their own. Gives the values of its outputs, in order.
 */
export function inlineGraph(e: Edit, g: Graph, given: ReadonlyMap<string, string>): string[] {
  const { main } = e.view;
  const names = new Map<string, string>();
  for (const { name } of g.inputs) {
    const value = given.get(name);
    if (value !== undefined) names.set(name, value);
    else if (!g.weights.has(name))
      throw new PareError([
        problem("train/value", "the graph has an input that nothing is given for", { location: { value: name } }),
      ]);
  }
  for (const [name, t] of g.weights) if (!names.has(name)) names.set(name, e.addWeight(main, e.fresh(name), t));
  const nodes: Node[] = g.nodes.map((n) => {
    const renamed = renameReads(n, (v) => names.get(v) ?? v);
    const outputs = n.outputs.map((v) => {
      if (v !== "") names.set(v, e.fresh(v));
      return v && names.get(v)!;
    });
    // The same graph may be added again, and engines want names of nodes to differ.
    return { ...renamed, name: "", outputs };
  });
  e.insert(main, nodes);
  return g.outputs.map(({ name }) => names.get(name) ?? name);
}

/** A graph that a loss or an optimizer gives, of a model that is nothing but a graph. */
export function bareGraph(model: Model, what: string): Graph {
  if (model.functions.length > 0)
    throw new PareError([problem("train/value", `${what} has functions`, { hint: "optimize() inlines them." })]);
  return model.graph;
}
