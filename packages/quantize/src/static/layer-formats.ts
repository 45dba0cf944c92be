import type { Pass } from "@pare/core";
import { int8Weights } from "../weights/int8-weights.ts";
import { int12Weights } from "../weights/int12-weights.ts";
import { biasCorrection } from "./bias-correction.ts";
import { int8 } from "./int8.ts";
import type { QuantizationOptions } from "./int8-options.ts";

/** What a layer is stored and computed in, from the smallest on; float32 where codes would take as many bytes. */
export type LayerFormat = "int8" | "int8 weights" | "int12 weights" | "float32";

/** A layer and how much each format of it alone disturbs the outputs. */
export interface Sensitivity {
  /** The output of the layer's operator. */
  readonly layer: string;
  readonly op: string;
  readonly weight: string;
  /** SQNR in dB of the outputs, before a last Softmax or Sigmoid, when only this layer is computed in integers. */
  readonly int8Db: number;
  /** The same when only its weight is int8; measured where weights had to be raised. */
  readonly weightDb?: number;
  /** Elements of the weight. */
  readonly elements: number;
}
export type WeightSensitivity = Sensitivity & { readonly weightDb: number };

/** Layers whose weights lose most in int8 for the bytes of 12 bits first. */
export const byWeight = (sensitivity: readonly WeightSensitivity[]): WeightSensitivity[] =>
  sensitivity.toSorted((a, b) => noise(b.weightDb) / b.elements - noise(a.weightDb) / a.elements);

/** The passes that give each layer its format. */
export function passesFor(
  formats: ReadonlyMap<string, LayerFormat>,
  sensitivity: readonly Sensitivity[],
  settings: QuantizationOptions,
): Pass[] {
  const { rounding } = settings;
  const of = (...wanted: LayerFormat[]) => sensitivity.filter((s) => wanted.includes(formats.get(s.layer)!));
  const layersOf = (list: readonly Sensitivity[]) => list.map((s) => s.layer);
  const weightsOf = (list: readonly Sensitivity[]) => list.map((s) => s.weight);
  const whole = of("int8");
  const rounded = of("int8", "int8 weights");
  const stored = of("int8 weights");
  const twelve = of("int12 weights");
  return [
    ...(rounded.length > 0 ? [biasCorrection({ ...settings, include: layersOf(rounded) })] : []),
    ...(whole.length > 0 ? [int8({ ...settings, include: layersOf(whole) })] : []),
    ...(stored.length > 0 ? [int8Weights({ include: weightsOf(stored), rounding })] : []),
    ...(twelve.length > 0 ? [int12Weights({ include: weightsOf(twelve), rounding })] : []),
  ];
}

/** Power of the noise for a signal of 1. */
const noise = (db: number) => 10 ** (-db / 10);
