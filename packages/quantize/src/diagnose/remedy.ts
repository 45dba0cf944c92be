import type { LayerDiagnosis } from "./diagnose.ts";

/** What to try for a layer. */
export interface Remedy {
  readonly kind: "range" | "bias" | "weights" | "channels" | "float" | "before";
  /** A sentence that says why, and which option. */
  readonly text: string;
}

/** SQNR in dB above which a layer by itself is no concern, and below which what comes down to it is one. */
const GOOD_DB = 30;
const POOR_DB = 20;

/** Share of numbers outside the codes, share of the error, and ratio of channels from which each is named as the cause. */
const CUT = 0.005;
const MAIN = 0.5;
const WIDE = 8;

const percent = (share: number) => `${(100 * share).toPrecision(2)} %`;

/** The most promising remedy: for what makes up most of the layer's error. */
export function remedyFor(l: Omit<LayerDiagnosis, "remedy">): { readonly remedy?: Remedy } {
  const { aloneDb, weightDb, accumulatedDb, saturation = 0, rangeRatio = 1, shiftShare = 0 } = l;
  const remedy = (kind: Remedy["kind"], text: string) => ({ remedy: { kind, text } });
  if (aloneDb >= GOOD_DB)
    return accumulatedDb >= POOR_DB
      ? {}
      : remedy("before", "is fine by itself: its error comes from the layers before it");
  const byWeight = 10 ** ((aloneDb - weightDb) / 10);
  if (saturation > CUT)
    return remedy(
      "range",
      `${percent(saturation)} of what it reads lies outside its codes: calibrate with min-max or mse, or on more samples`,
    );
  if (shiftShare > MAIN)
    return remedy(
      "bias",
      `${percent(shiftShare)} of its error is a shift of channels: put bias-correction before int8`,
    );
  if (byWeight > MAIN)
    return remedy(
      "weights",
      `${percent(byWeight)} of its error is its weights': scales for each channel (granularity channel), rounding gptq, or float16 weights`,
    );
  if (rangeRatio > WIDE)
    return remedy(
      "channels",
      `one channel of what it reads is ${rangeRatio.toPrecision(2)} times as wide as most: put equalize or smooth-quant before int8`,
    );
  return remedy(
    "float",
    "what it reads does not fit 8 bits: leave its activations in float32 (exclude it, or search with a maximal drop)",
  );
}
