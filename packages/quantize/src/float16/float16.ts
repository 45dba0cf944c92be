import {
  attr,
  definePass,
  edit,
  elementsOf,
  type Model,
  node,
  PASS_API_VERSION,
  type PassContext,
  type Tensor,
  type Weight,
} from "@pare/core";
import { codeOf } from "@pare/ops/dtype-codes";
import { inferTypes } from "@pare/ops/infer";
import { type Scope, weightCandidates } from "@pare/ops/weights";
import * as z from "zod";
import { scopeOptions } from "../options.ts";
import { encodeWeight } from "../weights/encode.ts";
import { toHalf } from "./half.ts";
import { halfError, misfit } from "./half-error.ts";
import { convertGraph } from "./half-graph.ts";
import { valuesToObserve } from "./half-plan.ts";

/**
 * Halves a model: weights and, unless `compute` is float32, arithmetic become float16. What would overflow or vanish
 * stays float32: weights are measured as the pass runs, inner values over the host's samples where it gives some.
 * With `compute: "float32"` weights are stored as float16 and converted when the model is loaded: as small, as fast as
 * before on a CPU, and no inner value can overflow.
 */
export const float16 = definePass({
  name: "float16",
  apiVersion: PASS_API_VERSION,
  reads: "weights",
  options: z.strictObject({
    compute: z
      .enum(["float16", "float32"])
      .default("float16")
      .describe("format of the arithmetic; float32 stores weights only"),
    io: z
      .enum(["float32", "float16"])
      .default("float32")
      .describe("format of float inputs and outputs, for compute float16"),
    ...scopeOptions,
  }),
  observe: (model, options, host) =>
    options.compute === "float16" && host.runtime && host.samples
      ? [{ values: valuesToObserve(model, inferTypes(model)), statistic: "absmax" }]
      : [],
  run: (model, options, ctx) =>
    options.compute === "float16" ? convertGraph(model, options, ctx) : storeHalf(model, options, ctx),
});

/** Weights as float16 behind a Cast. */
async function storeHalf(model: Model, scope: Scope, ctx: PassContext): Promise<Model> {
  const found = [...weightCandidates(model, scope, ctx)];
  const fitting: { weight: Weight; source: Tensor<"float32">; sqnrDb: number }[] = [];
  for (const [i, { weight, tensor: source }] of found.entries()) {
    ctx.progress(i, found.length);
    const error = await halfError(elementsOf(source, ctx.signal));
    const reason = misfit(error);
    if (reason !== undefined) ctx.skip(weight, reason);
    else fitting.push({ weight, source, sqnrDb: error.sqnrDb });
  }
  return edit(model, (e) => {
    for (const { weight, source, sqnrDb } of fitting) {
      encodeWeight(e, weight, [{ suffix: "float16", tensor: toHalf(source) }], (names) => [
        node("Cast", names, [weight.name], { to: attr.int(codeOf("float32")) }, { name: `${weight.name}_Cast` }),
      ]);
      ctx.done(weight, { sqnrDb });
    }
  });
}
