import { definePass, edit, type GraphView, type Node, PASS_API_VERSION, type Tensor, viewOf } from "@pare/core";
import { inFunction } from "@pare/ops/weights";
import { typesOf } from "../rule-pass.ts";
import { canFold, resultsOf } from "./compute.ts";
import { type Folded, settle } from "./settle.ts";

/**
 * Computes what depends on constants alone and what follows from shapes, in every graph, where the results take no more
 * bytes than what they replace. Integers are exact; floats are computed in float64 and rounded once. What large weights
 * are made into (slices, joins, other shapes and simple arithmetic, up to 16 MiB) is computed when it is read.
 */
export const foldConstants = definePass({
  name: "fold-constants",
  apiVersion: PASS_API_VERSION,
  run(model, _, ctx) {
    const folded: Folded = new Map();
    const types = typesOf(model);
    const tensorOf = (view: GraphView, name: string): Tensor | undefined => {
      const definer = view.definer(name);
      return definer && (folded.get(definer)?.get(name)?.tensor ?? definer.constant(name));
    };
    for (const view of viewOf(model).graphs) {
      if (inFunction(view)) continue;
      const results = new Map<string, { readonly node: Node; readonly tensor: Tensor }>();
      folded.set(view, results);
      // In order, so that a chain of any length takes one sweep.
      for (const node of view.graph.nodes) {
        ctx.signal.throwIfAborted();
        const found = canFold(node, view) ? resultsOf(node, view, (name) => tensorOf(view, name), types) : undefined;
        for (const [i, v] of found ? node.outputs.entries() : []) if (v) results.set(v, { node, tensor: found![i]! });
      }
    }
    const isStaying = settle(folded);
    return edit(model, (e) => {
      for (const [view, results] of folded)
        for (const [name, { node, tensor }] of results) {
          if (name === node.outputs.find(Boolean)) {
            e.replace(node, []);
            ctx.done({ view, node });
          }
          if (isStaying(view, name)) e.addWeight(view, name, tensor);
        }
    });
  },
});
