import { type Attribute, attr, type Graph, type Node, node, type RuleContext } from "@pare/core";

/**
 * The nodes of a graph as they can stand in another: its inputs are `inputs`, it writes `outputs`, and all else that it
 * defines gets a name that is new. References to attributes of a function become what `attributes` gives; one that is
 * missing is left out.
 */
export function inlined(
  graph: Graph,
  inputs: readonly string[],
  outputs: readonly string[],
  { fresh, weight }: Pick<RuleContext, "fresh" | "weight">,
  attributes?: ReadonlyMap<string, Attribute>,
): Node[] {
  const names = new Map(graph.inputs.map((v, i) => [v.name, inputs[i] ?? ""]));
  const written = new Set(graph.nodes.flatMap((n) => n.outputs));
  for (const [name, t] of graph.weights) names.set(name, weight(name, t));
  graph.outputs.forEach((v, i) => {
    if (outputs[i] && written.has(v.name) && !names.has(v.name)) names.set(v.name, outputs[i]);
  });
  for (const v of written) if (v !== "" && !names.has(v)) names.set(v, fresh(v));
  const copies = graph.outputs.flatMap((v, i) => {
    const [from, to] = [names.get(v.name) ?? v.name, outputs[i]];
    return to && from !== to ? [node("Identity", [from], [to])] : [];
  });
  return [...graph.nodes.map((n) => renamed(n, names, attributes)), ...copies];
}

/** Names that a graph inside takes from around are renamed with it; it defines none of them itself. */
function renamed(n: Node, names: ReadonlyMap<string, string>, given?: ReadonlyMap<string, Attribute>): Node {
  const to = (v: string) => names.get(v) ?? v;
  const inner = (g: Graph): Graph => ({
    ...g,
    nodes: g.nodes.map((m) => renamed(m, names, given)),
    outputs: g.outputs.map((v) => ({ ...v, name: to(v.name) })),
  });
  const attributes = [...n.attributes].flatMap(([name, a]): [string, Attribute][] => {
    if (a.type === "graph") return [[name, attr.graph(inner(a.value))]];
    if (a.type === "graphs") return [[name, { ...a, value: a.value.map(inner) }]];
    if (a.type !== "ref" || !given) return [[name, a]];
    const value = given.get(a.name);
    return value ? [[name, value]] : [];
  });
  return { ...n, inputs: n.inputs.map(to), outputs: n.outputs.map(to), attributes: new Map(attributes) };
}
