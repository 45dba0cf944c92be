import type { Diagnostic } from "./diagnostic.ts";
import { producersOf, readsOf } from "./local.ts";
import { type Graph, type Model, type Node, placeOf } from "./model.ts";
import { type GraphView, viewOf } from "./view.ts";

/**
 * Everything that makes a model not well formed: values written twice, read before they are written or never written,
 * outputs that nothing writes, operators of a domain without a version. Empty when all is well.
 */
export function verify(model: Model): Diagnostic[] {
  const { graphs } = viewOf(model);
  const problems = graphs.flatMap((v) => verifyView(v));
  const known = new Set([...model.opsets.keys(), ...model.functions.flatMap((f) => [f.domain, ...f.opsets.keys()])]);
  for (const { graph, path } of graphs)
    for (const n of graph.nodes)
      if (!known.has(n.domain)) {
        known.add(n.domain);
        problems.push(error("core/no-opset", `the model gives no version of the domain "${n.domain}"`, path, n));
      }
  return problems;
}

/** The same for one graph, without those inside it. */
export const verifyView = ({ graph, path, parent }: GraphView): Diagnostic[] =>
  verifyGraph(graph, { path, outside: (v) => parent?.definer(v) !== undefined });

/** The same for a graph that has a `path` and sees values `outside`; with `watched`, for these values only. */
export function verifyGraph(
  g: Graph,
  at: {
    readonly path: string;
    readonly outside: (value: string) => boolean;
    readonly watched?: ReadonlySet<string>;
  },
): Diagnostic[] {
  const { path, outside, watched } = at;
  const problems: Diagnostic[] = [];
  const fault = (code: string, message: string, n?: Node, v?: string) =>
    problems.push(error(code, message, path, n, v));
  const looked = (v: string) => v !== "" && (!watched || watched.has(v));
  const held = (v: string) => g.weights.has(v) || g.sparseWeights.has(v);
  const written = new Set<string>();
  const read = (v: string, reader: string, n?: Node) => {
    if (written.has(v) || held(v)) return;
    const late = producersOf(g).has(v);
    if (late || !outside(v))
      fault("core/undefined-value", `${reader} ${v}, ${late ? "before it is" : "which is not"} written`, n, v);
  };
  for (const { name } of g.inputs)
    if (looked(name)) {
      if (written.has(name)) fault("core/duplicate-value", `${name} is an input twice`, undefined, name);
      written.add(name);
    }
  for (const n of g.nodes) {
    for (const v of readsOf(n)) if (looked(v)) read(v, `${n.op} reads`, n);
    for (const v of n.outputs)
      if (looked(v)) {
        if (written.has(v) || held(v)) fault("core/duplicate-value", `${v} is written twice`, n, v);
        written.add(v);
      }
  }
  for (const { name } of g.outputs) if (looked(name)) read(name, "the graph gives out");
  return problems;
}

const error = (code: string, message: string, graph: string, n?: Node, value?: string): Diagnostic => ({
  code,
  severity: "error",
  message,
  location: { ...(graph && { graph }), ...(n && placeOf(n)), ...(value !== undefined && { value }) },
});
