import { IR_OPSET, type Model } from "@pare/core";
import { inferTypes } from "@pare/ops/infer";
import { lowestOpset } from "@pare/ops/schema";
import { downgrade } from "./downgrade.ts";

/**
 * The model at the opset to write: the one asked for, in its words, or the lowest at which it is the same in every word and
 * means the same. A model that is not at the IR's opset stays at its own unless another is asked for.
 * @throws PareError as {@link downgrade}
 */
export function opsetToWrite(model: Model, requested?: number): Model {
  const opset = model.opsets.get("");
  if (opset === undefined || requested === opset) return model;
  if (requested !== undefined) return downgrade(model, requested);
  if (opset !== IR_OPSET) return model;
  const { version } = lowestOpset(model, inferTypes(model).of);
  const at = (opsets: ReadonlyMap<string, number>) => (opsets.has("") ? new Map([...opsets, ["", version]]) : opsets);
  return {
    ...model,
    opsets: at(model.opsets),
    functions: model.functions.map((f) => ({ ...f, opsets: at(f.opsets) })),
  };
}
