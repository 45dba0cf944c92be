import type { Runtime } from "@pare/core";
import { litert } from "@pare/runtime-litert";
import { ort } from "@pare/runtime-ort";
import { tfjs } from "@pare/runtime-tfjs";
import type { Input } from "./input.ts";

/** The engines that can be asked for by name. */
const engines = {
  ort: (threads) => ort(threads === undefined ? {} : { threads }),
  litert: () => litert(),
  tfjs: () => tfjs(),
} satisfies Record<string, (threads: number | undefined) => Runtime>;

export type Engine = keyof typeof engines;
export const engineNames = Object.keys(engines) as readonly Engine[];

/** A runtime by name, or that of a model's format: LiteRT for TFLite, ONNX Runtime for all other. */
export const runtimeOf = (
  { format }: Pick<Input, "format">,
  { threads, engine = format === "tflite" ? "litert" : "ort" }: { threads?: number; engine?: Engine } = {},
): Runtime => engines[engine](threads);
