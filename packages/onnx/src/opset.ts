import { type Diagnostic, type Model, viewOf } from "@pare/core";

/** Operators that opset 27 brought or changed. */
const NEW_IN_27 = new Set(["LinearAttention", "CausalConvWithState", "Range"]);

export function lowerOpset(model: Model, requested?: number): { model: Model; diagnostics: readonly Diagnostic[] } {
  const opset = model.opsets.get("");
  if (opset === undefined || requested === opset) return { model, diagnostics: [] };
  const fresh = viewOf(model).graphs.some(({ graph }) =>
    graph.nodes.some((n) => n.domain === "" && NEW_IN_27.has(n.op)),
  );
  return {
    model: opset === 27 && !fresh ? { ...model, opsets: new Map([...model.opsets, ["", 26]]) } : model,
    diagnostics: [],
  };
}
