import { type Diagnostic, problem } from "./diagnostic.ts";
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
        problems.push(
          problem("core/no-opset", `no version of the domain "${n.domain}" is given`, { location: at(path, n) }),
        );
      }
  return problems;
}

/** The same for one graph, without those inside it. */
export const verifyView = ({ graph, path, parent }: GraphView): Diagnostic[] =>
  verifyGraph(graph, { path, outside: (v) => parent?.definer(v) !== undefined });

/** The same for a graph that has a `path` and sees values `outside`; with `watched`, for these values only. */
export function verifyGraph(
  g: Graph,
  seen: {
    readonly path: string;
    readonly outside: (value: string) => boolean;
    readonly watched?: ReadonlySet<string>;
  },
): Diagnostic[] {
  const { path, outside, watched } = seen;
  const problems: Diagnostic[] = [];
  const fault = (what: string, message: string, v: string, n?: Node) =>
    problems.push(problem(`core/${what}-value`, message, { location: { ...at(path, n), value: v } }));
  const looked = (v: string) => v !== "" && (!watched || watched.has(v));
  const held = (v: string) => g.weights.has(v) || g.sparseWeights.has(v);
  const written = new Set<string>();
  const read = (v: string, reader: string, n?: Node) => {
    if (!looked(v) || written.has(v) || held(v)) return;
    const late = producersOf(g).has(v);
    if (late || !outside(v)) fault("undefined", `${reader} ${v}, which is not written${late ? " yet" : ""}`, v, n);
  };
  const write = (v: string, n?: Node) => {
    if (!looked(v)) return;
    if (written.has(v) || (n && held(v))) fault("duplicate", `${v} is written twice`, v, n);
    written.add(v);
  };
  for (const v of g.inputs) write(v.name);
  for (const n of g.nodes) {
    for (const v of readsOf(n)) read(v, `${n.op} reads`, n);
    for (const v of n.outputs) write(v, n);
  }
  for (const v of g.outputs) read(v.name, "the graph gives out");
  return problems;
}

const at = (graph: string, n?: Node) => ({ ...(graph && { graph }), ...(n && placeOf(n)) });
