import { type Diagnostic, problem } from "./diagnostic.ts";
import { indexOf, readsOf } from "./local.ts";
import { type Graph, type Model, type Node, placeOf } from "./model.ts";
import { type GraphView, viewOf } from "./view.ts";

/**
 * Everything that makes a model not well formed: values written twice, read before they are written or never written,
 * outputs that nothing writes, operators of a domain without a version. Empty when all is well.
 */
export function verify(model: Model): Diagnostic[] {
  const known = new Set([...model.opsets.keys(), ...model.functions.flatMap((f) => [f.domain, ...f.opsets.keys()])]);
  return viewOf(model).graphs.flatMap((v) => {
    const problems = verifyView(v);
    for (const n of v.graph.nodes)
      if (!known.has(n.domain)) {
        known.add(n.domain);
        problems.push(problem("core/no-opset", `the domain "${n.domain}" has no version`, { location: at(v, n) }));
      }
    return problems;
  });
}

/** The same for the values of one graph, without those inside it. */
export const verifyView = (v: GraphView): Diagnostic[] => verifyGraph(v.graph, v, (name) => v.parent?.definer(name));

/** The same for a graph in the place of a view, which sees values `outside`; with `watched`, for these values only. */
export function verifyGraph(
  { inputs, outputs, nodes, weights, sparseWeights }: Graph,
  place: GraphView,
  outside: (value: string) => unknown,
  watched?: ReadonlySet<string>,
): Diagnostic[] {
  const problems: Diagnostic[] = [];
  const written = new Set<string>();
  const isIn = (v: string) => v && (!watched || watched.has(v));
  const isHeld = (v: string) => weights.has(v) || sparseWeights.has(v);
  const fault = (what: string, v: string, message: string, n?: Node) =>
    problems.push(problem(`core/${what}-value`, `${v} is ${message}`, { location: { ...at(place, n), value: v } }));
  const read = (v: string, n?: Node) => {
    if (!isIn(v) || written.has(v) || isHeld(v)) return;
    if (indexOf(nodes).writers.has(v)) fault("undefined", v, "read before it is written", n);
    else if (!outside(v)) fault("undefined", v, "never written", n);
  };
  const write = (v: string, n?: Node) => {
    if (!isIn(v)) return;
    if (written.has(v) || (n && isHeld(v))) fault("duplicate", v, "written twice", n);
    written.add(v);
  };
  for (const v of inputs) write(v.name);
  for (const n of nodes) {
    for (const v of readsOf(n)) read(v, n);
    for (const v of n.outputs) write(v, n);
  }
  for (const v of outputs) read(v.name);
  return problems;
}

const at = ({ path }: GraphView, n?: Node) => ({ ...(path && { graph: path }), ...(n && placeOf(n)) });
