import { type GraphView, IR_OPSET, isPareError, type Model, type Node, PareError, problem, viewOf } from "@pare/core";
import type { Types } from "@pare/ops/infer";
import { builderOf, lowerings, type Scope } from "@pare/ops/lower";
import { checkNode, LOWEST_OPSET, lowestVersion, typesIn, withConstants } from "@pare/ops/schema";

/** What is known of the values around the nodes of a graph. */
export function knowledge(
  model: Model,
  types: Types,
): (view: GraphView) => Pick<Scope, "typeOf" | "intsOf" | "possible"> {
  const possible = typesIn(model, types.of);
  return (view) => ({
    typeOf: withConstants(view, types.of),
    intsOf: (v) => types.constantInts(view, v),
    possible,
  });
}

/**
 * The lowest opset that says a model of the IR's opset node by node: in the same words, or, where a version only moved
 * something (axes from an attribute to an input), in one node of other words.
 */
export function lowestReworded(
  model: Model,
  types: Types,
): { readonly opset: number /** Nodes that it takes other words for. */; readonly newer: ReadonlySet<Node> } {
  const knowledgeOf = knowledge(model, types);
  let version = LOWEST_OPSET;
  const found = new Map<Node, number>();
  for (const view of viewOf(model).graphs) {
    const known = knowledgeOf(view);
    for (const n of view.graph.nodes) {
      const lowest = lowestVersion(n, known.typeOf, IR_OPSET, known.possible);
      if (lowest <= version) continue;
      found.set(n, lowest);
      version = Math.max(version, reworded(n, lowest, view, known, version));
    }
  }
  return { opset: version, newer: new Set([...found].filter(([, lowest]) => lowest > version).map(([n]) => n)) };
}

/** The lowest version for one node, of which `lowest` needs no other words; no lower than `enough`. */
function reworded(
  n: Node,
  lowest: number,
  view: GraphView,
  known: Pick<Scope, "typeOf" | "intsOf" | "possible">,
  enough: number,
): number {
  let count = 0;
  const name = () => `\0${count++}`;
  const context: Scope = {
    view,
    location: {},
    constant: name,
    fresh: name,
    made: new Map(),
    target: enough,
    refuse(why) {
      throw new PareError([problem("onnx/opset-too-low", why)]);
    },
    ...known,
  };
  for (let [at, now] = [lowest, n]; ; ) {
    const lowering = at > enough ? lowerings.get(now.op)?.get(at) : undefined;
    if (!lowering) return at;
    const b = builderOf(now, context);
    try {
      lowering(b);
    } catch (error) {
      if (isPareError(error)) return at;
      throw error;
    }
    const [one, ...more] = b.nodes;
    if (!one || more.length > 0 || checkNode(one, at - 1, b.typeOf).length > 0) return at;
    [at, now] = [lowestVersion(one, b.typeOf, at - 1, known.possible), one];
  }
}
