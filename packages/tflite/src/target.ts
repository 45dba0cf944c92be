import { IR_OPSET, type Target } from "@pare/core";
import { decomposable } from "@pare/ops/lower";
import { lowerings } from "./lower/table.ts";

/**
 * LiteRT and TFLite's interpreter in floating point: the operators that can be said in builtin ones, as far as their
 * attributes and types allow. What a model as a whole may be `tfliteExporter.check` says.
 */
export const litertFloat: Target = {
  name: "litert-float",
  runtime: "litert",
  opsets: new Map([["", IR_OPSET]]),
  operators: new Map([...lowerings.keys(), ...decomposable, "If", "Loop", "Scan"].map((op) => [op, {}])),
  dtypes: ["float32", "float16", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "bool"],
};
