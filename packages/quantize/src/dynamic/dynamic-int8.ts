import {
  byteLengthOf,
  definePass,
  type Edit,
  edit,
  elementCount,
  type GraphView,
  node,
  PASS_API_VERSION,
  type Use,
} from "@pare/core";
import { type Candidate, channelAxis, weightCandidates } from "@pare/ops/weights";
import * as z from "zod";
import { products, scopeOptions } from "../options.ts";
import { codeLimits } from "../weights/affine.ts";
import { encoded } from "../weights/codes.ts";
import { storeCodes } from "../weights/encode.ts";
import { granularityOf } from "../weights/granularity.ts";

/**
 * Computes products in integers without samples: weights are int8 codes, and each activation gets the codes of its own range
 * whenever the model runs (DynamicQuantizeLinear, then DequantizeLinear). Exporters fuse it (ONNX Runtime: MatMulInteger,
 * ConvInteger). One range for a whole activation costs convolutions more than it costs matrix products: they are left alone
 * unless `ops` names them. (Jacob et al. 2018, arXiv:1712.05877, with ranges of single inputs.)
 */
export const dynamicInt8 = definePass({
  name: "dynamic-int8",
  apiVersion: PASS_API_VERSION,
  options: z.strictObject({
    granularity: z.enum(["channel", "tensor"]).default("channel").describe("what shares a scale of weights"),
    rounding: z
      .enum(["balanced", "nearest"])
      .default("balanced")
      .describe("how weights are rounded: so that errors of a channel cancel, or to the nearest"),
    reduceRange: z
      .boolean()
      .default(false)
      .describe("7 bits for weights: for CPUs whose 16-bit sums of products saturate (x64 without VNNI)"),
    ...scopeOptions,
    ops: scopeOptions.ops.describe("operators whose weights are meant, by default MatMul and Gemm"),
  }),
  run: (model, options, ctx) =>
    edit(model, (e) => {
      const activations = activationsOf(e);
      for (const candidate of weightCandidates(model, { ...options, ops: options.ops ?? products }, ctx)) {
        const { weight } = candidate;
        const reason = misfit(candidate);
        if (reason !== undefined) {
          ctx.skip(weight, reason);
          continue;
        }
        const granularity = granularityOf(candidate, options.granularity);
        const made = encoded(candidate.tensor, {
          name: weight.name,
          format: "int8",
          granularity,
          symmetric: true,
          rounding: granularity.kind === "channel" ? options.rounding : "nearest",
          limits: codeLimits(options.reduceRange ? 7 : 8, true),
        });
        storeCodes(e, weight, made, granularity);
        for (const { view, node: reader } of weight.uses)
          e.setInput({ view, node: reader, index: 0 }, activations(view, reader.inputs[0]!));
        ctx.done(weight, { readers: weight.uses.length });
      }
    }),
});

/** Why a weight's products cannot be computed in integers, if they cannot. */
function misfit({ weight, role, tensor }: Candidate): string | undefined {
  const isProduct = ({ node, index, view }: Use) =>
    index === 1 && operators.has(node.op) && node.domain === "" && node.inputs[0] && !view.constant(node.inputs[0]);
  if (role.input !== 1 || !operators.has(role.op.op)) return "is not the second factor of a product";
  if (!weight.uses.every((use) => isProduct(use) && use.node.op === role.op.op))
    return "is read by something else than products of one kind with an activation";
  const axes = weight.uses.map(({ node }) => channelAxis(node, 1, tensor.shape.length));
  if (axes.some((a) => a !== axes[0])) return "has its channels along different axes for different readers";
  const count = elementCount(tensor.shape);
  if (count + NODES_BYTES >= byteLengthOf("float32", count)) return `has ${count} elements: nothing would get smaller`;
  return undefined;
}

const operators: ReadonlySet<string> = new Set(["MatMul", "Gemm", "Conv"]);

/** About what the nodes and the names of their values take in a file. */
const NODES_BYTES = 300;

/** Gives what decodes the codes of a value, whose nodes are made once in each graph that reads it. */
function activationsOf(e: Edit): (view: GraphView, value: string) => string {
  const made = new Map<GraphView, Map<string, string>>();
  return (view, value) => {
    const known = made.get(view) ?? new Map<string, string>();
    made.set(view, known);
    const before = known.get(value);
    if (before !== undefined) return before;
    const parts = ["quantized", "scale", "zero_point"].map((part) => e.fresh(`${value}_${part}`));
    const decoded = e.fresh(`${value}_dequantized`);
    e.insert(view, [
      node("DynamicQuantizeLinear", [value], parts, {}, { name: `${value}_QuantizeLinear` }),
      node("DequantizeLinear", parts, [decoded], {}, { name: `${value}_DequantizeLinear` }),
    ]);
    known.set(value, decoded);
    return decoded;
  };
}
