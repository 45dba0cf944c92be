import type { Runtime } from "@pare/core";
import { litert } from "@pare/runtime-litert";
import { ort } from "@pare/runtime-ort";
import type { Input } from "./input.ts";

/** The runtime of a model's format: LiteRT for TFLite, ONNX Runtime for all other. */
export const runtimeOf = ({ format }: Pick<Input, "format">, threads?: number): Runtime =>
  format === "tflite" ? litert() : ort(threads === undefined ? {} : { threads });
