import { definePass, PASS_API_VERSION } from "@pare/core";
import { decomposable, decompose as decomposed } from "@pare/ops/lower";
import * as z from "zod";

const operator = z.string().refine((op) => decomposable.has(op), {
  error: `has to be one of ${[...decomposable].sort().join(", ")}`,
});

/**
 * Says operators in simpler ones, as ONNX defines them: the way back of the recognitions, for runtimes and formats that lack
 * an operator. Which ones is to be said: `decompose({ ops: ["LayerNormalization", "Gelu"] })`.
 */
export const decompose = definePass({
  name: "decompose",
  apiVersion: PASS_API_VERSION,
  options: z.strictObject({ ops: z.array(operator).describe("operators that are said in others") }),
  run: (model, { ops }, ctx) =>
    decomposed(model, {
      wanted: (n) => ops.includes(n.op),
      onDone: (node, view) => ctx.done({ view, node }),
      onSkip: (node, view, reason) => ctx.skip({ view, node }, reason),
    }),
});
