import { failure, type Graph, placeOf } from "@pare/core";
import { operator, type TfliteModel, type TfliteOperator, type TfliteTensor, tensorTypeOf } from "@pare/tflite";
import type { Lower } from "../src/program.ts";
import { modelOf } from "./models.ts";

/** Enough of a lowering for the laws of runtimes: `Add`, `Relu`, and `MatMul` of two dimensions. */
export const lower: Lower = async ({ graph }) => lowered(graph);

function lowered(g: Graph): TfliteModel {
  const tensors: TfliteTensor[] = [];
  const indices = new Map<string, number>();
  const define = (name: string, shape: readonly number[], data?: TfliteTensor["data"]): number => {
    const type = tensorTypeOf("float32")!;
    indices.set(name, tensors.push({ name, type, shape, has_rank: true, ...(data ? { data } : {}) }) - 1);
    return tensors.length - 1;
  };
  const shapeOf = (name: string) => tensors[indices.get(name)!]!.shape;
  for (const { name, type } of g.inputs)
    define(name, type?.kind === "tensor" ? ((type.shape ?? []) as readonly number[]) : []);
  for (const [name, t] of g.weights) define(name, t.shape, t);
  const operators = g.nodes.map((n): TfliteOperator => {
    const [a, b] = n.inputs as [string, string];
    const inputs = n.inputs.map((name) => indices.get(name)!);
    const output = (shape: readonly number[]) => [define(n.outputs[0]!, shape)];
    if (n.domain === "" && n.op === "Add") return operator("ADD", inputs, output(shapeOf(a)));
    if (n.domain === "" && n.op === "Relu") return operator("RELU", inputs, output(shapeOf(a)));
    if (n.domain === "" && n.op === "MatMul")
      return operator("BATCH_MATMUL", inputs, output([shapeOf(a)[0]!, shapeOf(b)[1]!]));
    throw failure("test/no-lowering", `there is no lowering of ${n.op}`, { location: placeOf(n) });
  });
  const index = (v: { readonly name: string }) => indices.get(v.name)!;
  return modelOf({ tensors, inputs: g.inputs.map(index), outputs: g.outputs.map(index), operators });
}
