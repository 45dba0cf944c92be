import { IR_OPSET, type Model, placeOf } from "@pare/core";
import { inferTypes } from "@pare/ops/infer";
import { lowestOpset } from "@pare/ops/schema";
import { fail } from "./codes.ts";

/**
 * The model at the opset to write: the one asked for, or the lowest at which it is the same in every word and means the
 * same. A model that is not at the IR's opset stays at its own.
 * @throws PareError `onnx/opset-too-low` naming a node that needs a newer one, `onnx/opset`
 */
export function lowerOpset(model: Model, requested?: number): Model {
  const opset = model.opsets.get("");
  if (opset === undefined || requested === opset) return model;
  if (opset !== IR_OPSET) {
    if (requested === undefined) return model;
    throw fail("onnx/opset", `the model is of opset ${opset} and cannot be written as ${requested}`, {
      hint: "Upgrade it first.",
    });
  }
  const { version, because } = lowestOpset(model, inferTypes(model).of);
  const target = requested ?? version;
  if (target < version)
    throw fail("onnx/opset-too-low", `opset ${target} was asked for, but this needs ${version}`, {
      ...(because ? { location: placeOf(because) } : {}),
      hint: `Write opset ${version}, which is the lowest that says the same.`,
    });
  if (target > IR_OPSET) throw fail("onnx/opset", `opset ${target} is not known; the newest is ${IR_OPSET}`);
  const at = (opsets: ReadonlyMap<string, number>) => (opsets.has("") ? new Map([...opsets, ["", target]]) : opsets);
  return {
    ...model,
    opsets: at(model.opsets),
    functions: model.functions.map((f) => ({ ...f, opsets: at(f.opsets) })),
  };
}
