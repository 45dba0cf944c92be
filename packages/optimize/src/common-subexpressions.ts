import {
  type Attribute,
  definePass,
  edit,
  type GraphView,
  type Node,
  operatorOf,
  PASS_API_VERSION,
  subgraphsOf,
} from "@pare/core";
import { randomOperators } from "@pare/ops/schema";
import { childrenByNode } from "./children.ts";

/** In training, `Dropout` draws too. */
const random = new Set([...randomOperators, "Dropout"]);

const commutative = new Set(["Add", "Mul", "And", "Or", "Xor", "Equal", "BitwiseAnd", "BitwiseOr", "BitwiseXor"]);

/**
 * Computes once what several nodes compute: nodes of one operator with the same inputs and attributes, also one inside a
 * branch or loop and one around it.
 */
export const eliminateCommonSubexpressions = definePass({
  name: "eliminate-common-subexpressions",
  apiVersion: PASS_API_VERSION,
  run: (model, _, ctx) =>
    edit(model, (e) => {
      /** Values that are read from now on in the place of others. */
      const instead = new Map<string, string>();
      const sweep = (view: GraphView, around: Known | undefined) => {
        const known: Known = { nodes: new Map(), around };
        const children = childrenByNode(view);
        for (const n of view.graph.nodes) {
          ctx.signal.throwIfAborted();
          for (const child of children.get(n) ?? []) sweep(child, known);
          const key = keyOf(n, instead);
          if (key === undefined) continue;
          const first = find(known, key);
          if (!first || !takesPlace(first, n, view)) known.nodes.set(key, n);
          else if (e.replaceValue(view, n.outputs[0]!, first.outputs[0]!)) {
            instead.set(n.outputs[0]!, first.outputs[0]!);
            for (const [i, v] of n.outputs.entries()) {
              if (i === 0 || v === "") continue;
              e.replaceValue(view, v, first.outputs[i]!);
              instead.set(v, first.outputs[i]!);
            }
            e.replace(n, []);
            ctx.done({ view, node: n });
          }
        }
      };
      for (const view of e.view.graphs) if (!view.parent) sweep(view, undefined);
    }),
});

/** What was computed before in a graph, and in those around it. */
interface Known {
  readonly nodes: Map<string, Node>;
  readonly around: Known | undefined;
}

const find = (known: Known | undefined, key: string): Node | undefined =>
  known && (known.nodes.get(key) ?? find(known.around, key));

/** Of a node with several outputs, none may be an output of the graph: all of them move or none. */
const takesPlace = (first: Node, n: Node, view: GraphView): boolean =>
  n.outputs[0] !== "" &&
  n.outputs.every((v, i) => v === "" || first.outputs[i]) &&
  (n.outputs.length === 1 || !n.outputs.some((v) => view.isOutput(v)));

/** Equal for nodes that compute the same; undefined for those that are not compared. */
function keyOf(n: Node, instead: ReadonlyMap<string, string>): string | undefined {
  if (n.domain !== "" || random.has(n.op) || !subgraphsOf(n).next().done || n.outputs.length === 0) return undefined;
  const attributes: string[] = [];
  for (const [name, a] of n.attributes) {
    const text = textOf(a);
    if (text === undefined) return undefined;
    attributes.push(`${name}=${text}`);
  }
  const inputs = n.inputs.map((v) => instead.get(v) ?? v);
  if (commutative.has(n.op)) inputs.sort();
  return JSON.stringify([operatorOf(n), inputs, attributes.sort()]);
}

function textOf(a: Attribute): string | undefined {
  switch (a.type) {
    case "float":
    case "int":
    case "floats":
    case "ints":
      return String(a.value);
    case "string":
    case "strings":
      return [a.value].flat().every((s) => typeof s === "string") ? JSON.stringify(a.value) : undefined;
    case "ref":
      return `@${a.name}`;
    default:
      return undefined;
  }
}
