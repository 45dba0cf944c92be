import { edit, type Model, type Rule, rewrite, type Target, viewOf, weightsOf } from "@pare/core";
import { inferTypes } from "@pare/ops/infer";
import { fuseBlocks } from "./fuse-blocks.ts";
import { dropDecoders, fuseDynamicConv, fuseDynamicMatMul } from "./fuse-dynamic.ts";

/** By the operator that a target must have for them. */
const fusions: ReadonlyMap<string, readonly Rule[]> = new Map([
  ["com.microsoft.MatMulNBits", [fuseBlocks]],
  ["MatMulInteger", [fuseDynamicMatMul, dropDecoders]],
  ["ConvInteger", [fuseDynamicConv, dropDecoders]],
]);

const CONTRIB = "com.microsoft";

/** The canonical form of quantization in the operators that a target has for it; the same object where it has none. */
export function fuse(model: Model, target: Target): Model {
  const rules = new Set([...fusions].flatMap(([operator, list]) => (target.operators.has(operator) ? list : [])));
  const fused = rewrite(model, [...rules]);
  if (fused === model) return model;
  const types = inferTypes(model);
  const before = new Map(viewOf(model).graphs.map((v) => [v.path, v]));
  return edit(fused, (e) => {
    for (const { view, name, node, uses } of weightsOf(e.view)) {
      const readBefore = before.get(view.path)?.uses(name).length ?? 0;
      if (uses.length > 0 || readBefore === 0 || view.isOutput(name)) continue;
      if (node) e.replace(node, []);
      else e.removeWeight(view, name);
    }
    // What inference knows of standard operators it does not know of the engine's own.
    for (const view of e.view.graphs)
      for (const { domain, outputs } of view.graph.nodes)
        for (const name of domain === CONTRIB ? outputs : []) {
          const old = before.get(view.path);
          const type = old?.producer(name) && !view.isOutput(name) ? types.of(old, name) : undefined;
          if (type) e.setType(view, { name, type });
        }
    if (e.view.graphs.some((v) => v.graph.nodes.some((n) => n.domain === CONTRIB)))
      e.setModel({ opsets: new Map([...fused.opsets, [CONTRIB, fused.opsets.get(CONTRIB) ?? 1]]) });
  });
}
