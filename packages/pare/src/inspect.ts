import { type Diagnostic, viewOf } from "@pare/core";
import { countOperators, type Share, type SizeReport, sizeOf, type TensorSize, typeText } from "@pare/report";
import { type ModelCost, modelCost } from "./cost.ts";
import { type Input, totalBytes } from "./input.ts";

/** What a model is. */
export interface Inspection {
  readonly name: string;
  /** Bytes of its files. */
  readonly bytes: number;
  /** Versions of operators that the file gives; the model itself is brought to the newest. */
  readonly opsets: Readonly<Record<string, number>>;
  readonly irVersion?: number;
  readonly producer?: string;
  readonly inputs: readonly { readonly name: string; readonly type: string; readonly hasDefault: boolean }[];
  readonly outputs: readonly { readonly name: string; readonly type: string }[];
  readonly nodes: number;
  readonly operators: readonly { readonly op: string; readonly count: number; readonly macs?: number }[];
  /** Paths of graphs inside nodes. */
  readonly subgraphs: readonly string[];
  readonly functions: readonly string[];
  readonly parameters: number;
  readonly cost: Omit<ModelCost, "byOperator">;
  readonly weights: {
    readonly bytes: number;
    readonly byFormat: readonly Share[];
    readonly byOperator: readonly Share[];
    readonly largest: readonly TensorSize[];
  };
  readonly metadata: Readonly<Record<string, string>>;
  readonly diagnostics: readonly Diagnostic[];
}

export interface InspectOptions {
  /** How many of the largest weights. Default 10. */
  readonly limit?: number;
  /** Sizes of inputs whose dimensions are free, for the MACs. */
  readonly shapes?: ReadonlyMap<string, readonly number[]>;
}

/** Tells what a model is. Weights are not read. */
export function inspect(input: Input, { limit = 10, shapes }: InspectOptions = {}): Inspection {
  const { model } = input;
  const view = viewOf(model);
  const size: SizeReport = sizeOf(model);
  const { byOperator, ...cost } = modelCost(model, shapes);
  const counts = countOperators(view);
  return {
    name: input.name,
    bytes: totalBytes(input.sources),
    opsets: Object.fromEntries(
      [...model.opsets].map(([domain, v]) => [domain || "ai.onnx", domain === "" ? (input.onnx?.opset ?? v) : v]),
    ),
    ...(input.onnx ? { irVersion: input.onnx.irVersion, producer: input.onnx.producer } : {}),
    inputs: model.graph.inputs.map((v) => ({
      name: v.name,
      type: typeText(v.type),
      hasDefault: model.graph.weights.has(v.name),
    })),
    outputs: model.graph.outputs.map((v) => ({ name: v.name, type: typeText(v.type) })),
    nodes: [...counts.values()].reduce((n, c) => n + c, 0),
    operators: [...counts].map(([op, count]) => {
      const macs = byOperator.get(op);
      return { op, count, ...(macs === undefined ? {} : { macs }) };
    }),
    subgraphs: view.graphs.filter((g) => g.holder).map((g) => g.path),
    functions: model.functions.map((f) => `${f.domain}.${f.name}`),
    parameters: size.parameters,
    cost,
    weights: {
      bytes: size.byteLength,
      byFormat: size.byDtype,
      byOperator: size.byOperator,
      largest: size.tensors.slice(0, limit),
    },
    metadata: Object.fromEntries(model.metadata),
    diagnostics: input.diagnostics,
  };
}
