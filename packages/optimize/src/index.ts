import { type Pass, pipeline } from "@pare/core";
import { removeDeadCode } from "./dead-code.ts";
import { foldConstants } from "./fold-constants.ts";
import { fuseBatchNorm } from "./fuse-batch-norm.ts";
import { removeIdentity } from "./remove-identity.ts";

export { foldConstants, fuseBatchNorm, removeDeadCode, removeIdentity };

/** All simplifications, in the order in which each finds what the one before made possible. Values and answers stay the same. */
export const optimize = (): Pass =>
  pipeline("optimize", [removeIdentity(), foldConstants(), fuseBatchNorm(), removeDeadCode()]);
