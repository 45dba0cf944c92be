import { definePass, edit, PASS_API_VERSION, type ValueType, viewOf } from "@pare/core";
import { inferTypes } from "@pare/ops/infer";

/**
 * Drops types of inner values that follow from the inputs, so that the file does not say them. Those that no rule finds,
 * or finds less of, stay.
 */
export const removeInferredTypes = definePass({
  name: "remove-inferred-types",
  apiVersion: PASS_API_VERSION,
  run(model) {
    const { graphs } = viewOf(model);
    if (graphs.every((view) => view.graph.types.size === 0)) return model;
    const bare = edit(model, (e) => {
      for (const view of graphs) if (view.graph.types.size > 0) e.setGraph(view, { types: new Map() });
    });
    const types = inferTypes(bare);
    // The graphs of both are the same, in the same order.
    const kept = viewOf(bare).graphs.map(
      (view, i) =>
        new Map(
          [...graphs[i]!.graph.types].filter(
            ([name, { type, extra }]) => extra || !isKnown(type, types.of(view, name)),
          ),
        ),
    );
    if (kept.every((map, i) => map.size === graphs[i]!.graph.types.size)) return model;
    return edit(model, (e) => {
      for (const [i, view] of graphs.entries())
        if (kept[i]!.size < view.graph.types.size) e.setGraph(view, { types: kept[i]! });
    });
  },
});

/** Whether all that a declaration says is inferred: its numbers, and the names of its symbols. */
function isKnown(declared: ValueType | undefined, found: ValueType | undefined): boolean {
  if (!declared) return true;
  if (declared.kind !== "tensor" || found?.kind !== "tensor" || found.dtype !== declared.dtype) return false;
  const { shape } = declared;
  return !shape || (found.shape?.length === shape.length && shape.every((d, i) => d === null || d === found.shape![i]));
}
