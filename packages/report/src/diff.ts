import {
  type Attribute,
  type GraphView,
  type Model,
  type ModelView,
  type Node,
  type Tensor,
  type ValueInfo,
  type ValueType,
  viewOf,
} from "@pare/core";
import { operatorName } from "@pare/ops/weights";

/** A node by where it is; `name` is its own or that of what it writes. */
export interface NodeRef {
  /** Path of its graph; empty for the main graph. */
  readonly graph: string;
  readonly name: string;
  readonly op: string;
}

/** An input or output that is not the same in both: as `name: type`, empty where it is missing. */
export interface InterfaceChange {
  readonly kind: "input" | "output";
  readonly position: number;
  readonly before: string;
  readonly after: string;
}

/** A constant that has another type, or is computed, or is a constant no longer or newly. */
export interface WeightChange {
  /** Name, after the path of its graph. */
  readonly name: string;
  /** `float32 [64,3,3,3]`; empty where it is missing. */
  readonly before: string;
  readonly after: string;
}

/** How one model's graph differs from another's. Weights' contents are not read. */
export interface GraphDiff {
  /** Operators whose number differs: before and after. */
  readonly operators: readonly { readonly op: string; readonly before: number; readonly after: number }[];
  readonly nodes: { readonly before: number; readonly after: number };
  readonly added: readonly NodeRef[];
  readonly removed: readonly NodeRef[];
  readonly changed: readonly (NodeRef & { readonly changes: readonly string[] })[];
  readonly weights: readonly WeightChange[];
  readonly opsets: readonly { readonly domain: string; readonly before?: number; readonly after?: number }[];
  /** What callers of the model notice. */
  readonly interface: readonly InterfaceChange[];
  readonly metadata: readonly string[];
}

/**
 * Compares two graphs: nodes are the same when they write the same value, or have the same name. Weights are compared by
 * element type and shape.
 */
export function diffGraphs(a: Model, b: Model): GraphDiff {
  const [before, after] = [viewOf(a), viewOf(b)];
  const counts = [countOperators(before), countOperators(after)] as const;
  return {
    operators: [...new Set([...counts[0].keys(), ...counts[1].keys()])]
      .map((op) => ({ op, before: counts[0].get(op) ?? 0, after: counts[1].get(op) ?? 0 }))
      .filter((c) => c.before !== c.after)
      .toSorted((x, y) => Math.abs(y.after - y.before) - Math.abs(x.after - x.before)),
    nodes: { before: total(counts[0]), after: total(counts[1]) },
    ...diffNodes(before, after),
    weights: diffWeights(before, after),
    opsets: [...new Set([...a.opsets.keys(), ...b.opsets.keys()])]
      .filter((domain) => a.opsets.get(domain) !== b.opsets.get(domain))
      .map((domain) => ({ domain, ...given("before", a.opsets.get(domain)), ...given("after", b.opsets.get(domain)) })),
    interface: [
      ...diffInterface("input", a.graph.inputs, b.graph.inputs),
      ...diffInterface("output", a.graph.outputs, b.graph.outputs),
    ],
    metadata: [...new Set([...a.metadata.keys(), ...b.metadata.keys()])].filter(
      (key) => a.metadata.get(key) !== b.metadata.get(key),
    ),
  };
}

/** Whether nothing differs. */
export const sameGraphs = (d: GraphDiff): boolean =>
  [d.added, d.removed, d.changed, d.weights, d.opsets, d.interface, d.metadata].every((list) => list.length === 0);

const given = <K extends string>(key: K, value: number | undefined) =>
  (value === undefined ? {} : { [key]: value }) as { [P in K]?: number };

const total = (counts: ReadonlyMap<string, number>) => [...counts.values()].reduce((n, c) => n + c, 0);

/** How many nodes there are of each operator, in all graphs, most first. */
export function countOperators(view: ModelView): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { graph } of view.graphs)
    for (const n of graph.nodes) counts.set(operatorName(n), (counts.get(operatorName(n)) ?? 0) + 1);
  return new Map([...counts].sort((x, y) => y[1] - x[1]));
}

/** Constants are compared as weights. */
const isConstant = (n: Node) => n.op === "Constant" && n.domain === "";

interface Placed {
  readonly view: GraphView;
  readonly node: Node;
}

const refOf = ({ view, node }: Placed): NodeRef => ({
  graph: view.path,
  name: node.name || node.outputs.find((o) => o !== "") || "",
  op: operatorName(node),
});

function diffNodes(a: ModelView, b: ModelView): Pick<GraphDiff, "added" | "removed" | "changed"> {
  const list = (m: ModelView): Placed[] =>
    m.graphs.flatMap((view) => view.graph.nodes.flatMap((node) => (isConstant(node) ? [] : [{ view, node }])));
  const byOutput = ({ view, node }: Placed) => `${view.path}\n${node.outputs.find((o) => o !== "") ?? ""}`;
  const byName = ({ view, node }: Placed) => (node.name ? `${view.path}\n${node.op}\n${node.name}` : "");
  let left = list(a);
  let right = list(b);
  const pairs: (readonly [Placed, Placed])[] = [];
  for (const keyOf of [byOutput, byName]) {
    const known = new Map(right.map((p) => [keyOf(p), p]));
    const taken = new Set<Placed>();
    left = left.filter((p) => {
      const key = keyOf(p);
      const other = key === "" ? undefined : known.get(key);
      if (!other || taken.has(other)) return true;
      taken.add(other);
      pairs.push([p, other]);
      return false;
    });
    right = right.filter((p) => !taken.has(p));
  }
  return {
    removed: left.map(refOf),
    added: right.map(refOf),
    changed: pairs.flatMap(([x, y]) => {
      const changes = x.node === y.node ? [] : changesOf(x.node, y.node);
      return changes.length > 0 ? [{ ...refOf(y), changes }] : [];
    }),
  };
}

function changesOf(a: Node, b: Node): string[] {
  const changes: string[] = [];
  // Another operator has other inputs and attributes: to list them would tell nothing.
  if (operatorName(a) !== operatorName(b)) return [`${operatorName(a)} became ${operatorName(b)}`];
  const names = (list: readonly string[]) => list.map((n) => n || "-").join(", ");
  if (names(a.inputs) !== names(b.inputs)) changes.push(`inputs (${names(a.inputs)}) became (${names(b.inputs)})`);
  if (names(a.outputs) !== names(b.outputs)) changes.push(`outputs (${names(a.outputs)}) became (${names(b.outputs)})`);
  for (const key of new Set([...a.attributes.keys(), ...b.attributes.keys()])) {
    const [x, y] = [attributeText(a.attributes.get(key)), attributeText(b.attributes.get(key))];
    if (x !== y) changes.push(`${key}: ${x || "none"} became ${y || "none"}`);
  }
  return changes;
}

/** An attribute as text; graphs are compared on their own. */
function attributeText(a: Attribute | undefined): string {
  if (!a) return "";
  switch (a.type) {
    case "graph":
    case "graphs":
      return a.type;
    case "tensor":
      return tensorText(a.value);
    case "tensors":
      return a.value.map(tensorText).join(", ");
    case "ref":
      return `attribute ${a.name}`;
    case "floats":
    case "ints":
    case "strings":
      return `[${a.value.join(", ")}]`;
    case "float":
    case "int":
    case "string":
      return String(a.value);
    default:
      return a.type;
  }
}

const tensorText = (t: Tensor): string => `${t.dtype} [${t.shape}]`;

function diffWeights(a: ModelView, b: ModelView): WeightChange[] {
  const before = constantsOf(a);
  const after = constantsOf(b);
  const computed = (m: ModelView, path: string, name: string) => {
    const n = m.graphs.find((g) => g.path === path)?.producer(name);
    return n && !isConstant(n) ? `computed by ${operatorName(n)}` : "";
  };
  const changes: WeightChange[] = [];
  for (const [key, c] of before) {
    const now = after.get(key);
    const text = now ? now.text : computed(b, c.path, c.name);
    if (text !== c.text) changes.push({ name: key, before: c.text, after: text });
  }
  for (const [key, c] of after)
    if (!before.has(key)) changes.push({ name: key, before: computed(a, c.path, c.name), after: c.text });
  return changes;
}

function constantsOf(m: ModelView) {
  const found = new Map<string, { readonly path: string; readonly name: string; readonly text: string }>();
  for (const view of m.graphs) {
    const names = [...view.graph.weights.keys(), ...view.graph.nodes.flatMap((n) => (isConstant(n) ? n.outputs : []))];
    for (const name of names) {
      const t = view.graph.weights.get(name) ?? view.constant(name);
      if (t) found.set(view.path ? `${view.path}/${name}` : name, { path: view.path, name, text: tensorText(t) });
    }
  }
  return found;
}

function diffInterface(
  kind: InterfaceChange["kind"],
  a: readonly ValueInfo[],
  b: readonly ValueInfo[],
): InterfaceChange[] {
  return Array.from({ length: Math.max(a.length, b.length) }, (_, position) => ({
    kind,
    position,
    before: infoText(a[position]),
    after: infoText(b[position]),
  })).filter((c) => c.before !== c.after);
}

const infoText = (v: ValueInfo | undefined): string => (v ? `${v.name}: ${typeText(v.type)}` : "");

/** `float32 [N, 3, 224, 224]`. */
export function typeText(t: ValueType | undefined): string {
  if (!t) return "unknown";
  switch (t.kind) {
    case "tensor":
      return `${t.dtype}${t.shape ? ` [${t.shape.map((d) => d ?? "?").join(", ")}]` : ""}`;
    case "sparse":
      return `sparse ${t.dtype}`;
    case "sequence":
    case "optional":
      return `${t.kind} of ${typeText(t.element)}`;
    case "map":
      return `map from ${t.key} to ${typeText(t.value)}`;
    case "opaque":
      return `${t.domain}.${t.name}`;
    default:
      return t satisfies never;
  }
}
