import { PASS_API_VERSION, type Pass } from "@pare/core";
import { cancelReshapes } from "./cancel-reshapes.ts";
import { cancelTransposes } from "./cancel-transposes.ts";
import { eliminateCommonSubexpressions } from "./common-subexpressions.ts";
import { removeDeadCode } from "./dead-code.ts";
import { decompose } from "./decompose.ts";
import { fixShapes } from "./fix-shapes.ts";
import { foldConstants } from "./fold/constants.ts";
import { liftConstants } from "./fold/lift-constants.ts";
import { fuseAffine } from "./fuse/affine.ts";
import { fusePadding } from "./fuse/padding.ts";
import { inlineFunctions } from "./inline-functions.ts";
import { inlineIf } from "./inline-if.ts";
import { recognizeGelu, recognizeHardSwish } from "./recognize/activations.ts";
import { recognizeAttention } from "./recognize/attention.ts";
import { recognizeLayerNormalization } from "./recognize/layer-normalization.ts";
import { removeIdentity } from "./remove-identity.ts";
import { removeInferredTypes } from "./remove-inferred-types.ts";
import { removeNotes } from "./remove-notes.ts";
import { together } from "./rule-pass.ts";
import { tieWeights } from "./tie-weights.ts";

export {
  cancelReshapes,
  cancelTransposes,
  decompose,
  eliminateCommonSubexpressions,
  fixShapes,
  foldConstants,
  fuseAffine,
  fusePadding,
  inlineFunctions,
  inlineIf,
  liftConstants,
  recognizeAttention,
  recognizeGelu,
  recognizeHardSwish,
  recognizeLayerNormalization,
  removeDeadCode,
  removeIdentity,
  removeInferredTypes,
  removeNotes,
  tieWeights,
};

/**
 * In the order in which each finds what the one before made possible. What is recognised comes before what is fused:
 * constants that are folded into weights hide the pattern that they were part of.
 */
const steps = [
  liftConstants,
  foldConstants,
  inlineIf,
  tieWeights,
  eliminateCommonSubexpressions,
  together(removeIdentity, recognizeLayerNormalization, recognizeGelu, recognizeHardSwish),
  together(fuseAffine, fusePadding, cancelTransposes, cancelReshapes),
  removeDeadCode,
  removeNotes,
  removeInferredTypes,
];

/** Times that all steps are gone through: an `If` within an `If` of which the sizes were not known takes another each. */
const MOST_ROUNDS = 16;

/**
 * All simplifications, again and again until none finds anything. Answers stay the same but for rounding, and the file
 * does not grow. The report says by which step each node was
 * found.
 */
export const optimize = (): Pass => {
  const passes = steps.map((step) => step());
  return {
    name: "optimize",
    apiVersion: PASS_API_VERSION,
    options: {},
    needs: [],
    reads: "weights",
    async run(model, ctx) {
      let current = model;
      // How many in a row, around the end, have left this very model as it is.
      let idle = 0;
      for (let i = 0; idle < passes.length && i < MOST_ROUNDS * passes.length; i++) {
        const pass = passes[i % passes.length]!;
        const next = await pass.run(current, {
          ...ctx,
          done: (site, facts) => ctx.done(site, { by: pass.name, ...facts }),
        });
        idle = next === current ? idle + 1 : 0;
        current = next;
      }
      return current;
    },
  };
};
