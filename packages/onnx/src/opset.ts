import { IR_OPSET, type Model } from "@pare/core";
import { inferTypes } from "@pare/ops/infer";
import { downgrade, takenBack } from "./downgrade.ts";
import { lowestReworded } from "./reword.ts";

/**
 * The model at the opset to write: the one asked for, or the lowest that says the same node by node. A model that is not
 * at the IR's opset stays at its own unless another is asked for.
 * @throws PareError as {@link downgrade}
 */
export function opsetToWrite(model: Model, requested?: number): Model {
  const opset = model.opsets.get("");
  if (opset === undefined || requested === opset) return model;
  if (requested !== undefined) return downgrade(model, requested);
  if (opset !== IR_OPSET) return model;
  const types = inferTypes(model);
  const lowest = lowestReworded(model, types);
  return takenBack(model, lowest.opset, types, lowest.newer);
}
