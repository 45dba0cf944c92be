import type { Diagnostic } from "./diagnostic.ts";
import type { Model, Node } from "./model.ts";
import { readsOf } from "./order.ts";
import { type GraphView, viewOf } from "./view.ts";

/**
 * Everything that makes a model not well formed: values written twice, read before they are written or never written,
 * outputs that nothing writes, operators of a domain without a version. Empty when all is well.
 */
export function verify(model: Model): Diagnostic[] {
  const problems = viewOf(model).graphs.flatMap(verifyView);
  const domains = new Map<string, Node>();
  for (const { graph } of viewOf(model).graphs)
    for (const n of graph.nodes) if (!domains.has(n.domain)) domains.set(n.domain, n);
  const functionDomains = new Set(model.functions.flatMap((f) => [f.domain, ...f.opsets.keys()]));
  for (const [domain, n] of domains)
    if (!model.opsets.has(domain) && !functionDomains.has(domain))
      problems.push(
        error("core/no-opset", `the model gives no version of the domain "${domain}" of ${n.op}`, { node: n.name }),
      );
  return problems;
}

/** The same for one graph, without those inside it. */
export function verifyView(view: GraphView): Diagnostic[] {
  const problems: Diagnostic[] = [];
  const place = view.path ? { graph: view.path } : {};
  const { graph: g } = view;
  const defined = new Set<string>();
  const define = (v: string, n?: Node) => {
    if (v === "") return;
    if (defined.has(v))
      problems.push(
        error("core/duplicate-value", `the value ${v} is written twice`, { ...place, ...(n && named(n)), value: v }),
      );
    defined.add(v);
  };
  for (const v of g.inputs) define(v.name);
  for (const v of [...g.weights.keys(), ...g.sparseWeights.keys()]) defined.add(v);
  const outside = (v: string) => view.parent?.definer(v) !== undefined;
  for (const n of g.nodes) {
    const missing = new Set<string>();
    for (const v of readsOf(n)) if (!defined.has(v) && !outside(v)) missing.add(v);
    for (const v of missing)
      problems.push(
        error(
          "core/undefined-value",
          view.producer(v) ? `${n.op} reads ${v} before it is written` : `${n.op} reads ${v}, which nothing writes`,
          { ...place, ...named(n), value: v },
        ),
      );
    for (const v of n.outputs) define(v, n);
  }
  for (const v of g.outputs)
    if (!defined.has(v.name) && !outside(v.name))
      problems.push(error("core/undefined-value", `nothing writes the output ${v.name}`, { ...place, value: v.name }));
  return problems;
}

const named = (n: Node) => ({ node: n.name || n.outputs[0] || "", op: n.op });

const error = (code: string, message: string, location: Diagnostic["location"] & object): Diagnostic => ({
  code,
  severity: "error",
  message,
  location,
});
