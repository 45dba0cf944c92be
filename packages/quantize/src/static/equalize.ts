import {
  definePass,
  edit,
  elementsOf,
  PASS_API_VERSION,
  type Tensor,
  tensor,
  viewOf,
  type Weight,
  weightsOf,
} from "@pare/core";
import { inferTypes } from "@pare/ops/infer";
import * as z from "zod";
import { biasOf, type ChannelOperator, type ChannelSet, channelSets } from "../weights/channels.ts";
import { scaledChannels } from "../weights/scale-channels.ts";

/** Rounds after which ranges hardly change any more. */
const ROUNDS = 20;

/**
 * Cross-layer equalization: scales the channels between two layers so that each has the same range in both their
 * weights, which changes nothing that the model computes and makes one scale for a tensor fit all its channels. Scales are powers of
 * two, so that not a bit of the float model changes. (Nagel et al. 2019, "Data-Free Quantization", arXiv:1906.04721.)
 */
export const equalize = definePass({
  name: "equalize",
  apiVersion: PASS_API_VERSION,
  reads: "weights",
  options: z.strictObject({}),
  async run(model, _options, ctx) {
    const sets = channelSets(model, inferTypes(model));
    const operators = [...new Set(sets.flatMap((s) => [...s.producers, ...s.consumers.map((c) => c.operator)]))];
    const weights = new Map<string, Weight>();
    for (const w of weightsOf(viewOf(model))) if (w.view === viewOf(model).main) weights.set(w.name, w);
    /** Factors by which input and output channels of each operator's weight are multiplied. */
    const factors = new Map(
      operators.map((o) => [
        o,
        { input: new Float64Array(o.layout.inputs).fill(1), output: new Float64Array(o.layout.outputs).fill(1) },
      ]),
    );
    for (let round = 0; round < ROUNDS; round++) {
      ctx.progress(round, ROUNDS, "steps");
      let changed = false;
      for (const set of sets) {
        const scale = await scalesOf(set, weights, factors, ctx.signal);
        if (scale.every((s) => s === 1)) continue;
        changed = true;
        for (const p of set.producers) scale.forEach((s, c) => void (factors.get(p)!.output[c]! /= s));
        for (const { operator, block } of set.consumers)
          factors.get(operator)!.input.forEach((f, i, all) => void (all[i] = f * scale[Math.floor(i / block)]!));
      }
      if (!changed) break;
    }
    return edit(model, (e) => {
      for (const operator of operators) {
        const { input, output } = factors.get(operator)!;
        const weight = weights.get(operator.weight)!;
        if (input.every((f) => f === 1) && output.every((f) => f === 1)) continue;
        e.setWeight(weight, scaledChannels(weight.tensor as Tensor<"float32">, operator.layout, input, output));
        const bias = operator.bias === undefined ? undefined : weights.get(operator.bias);
        if (bias)
          e.setWeight(
            bias,
            tensor(
              "float32",
              bias.tensor.shape,
              biasOf(model, bias.name).map((b, c) => b * output[c]!),
            ),
          );
        ctx.done(weight, { factor: Math.max(...input, ...output) });
      }
    });
  },
});

type Factors = ReadonlyMap<ChannelOperator, { readonly input: Float64Array; readonly output: Float64Array }>;

/** The power of two by which each channel of a set is divided where it is written, and multiplied where it is read. */
async function scalesOf(
  set: ChannelSet,
  weights: ReadonlyMap<string, Weight>,
  factors: Factors,
  signal: AbortSignal,
): Promise<Float64Array> {
  const written = new Float64Array(set.channels);
  const read = new Float64Array(set.channels);
  const widen = async (o: ChannelOperator, side: "input" | "output", block: number, into: Float64Array) => {
    const { input, output } = factors.get(o)!;
    const { layout } = o;
    const found = new Float64Array(set.channels);
    for await (const { data, start } of elementsOf(weights.get(o.weight)!.tensor as Tensor<"float32">, signal))
      for (let k = 0; k < data.length; k++) {
        const i = layout.input(start + k);
        const j = layout.output(start + k);
        const c = Math.floor((side === "input" ? i : j) / block);
        found[c] = Math.max(found[c]!, Math.abs(data[k]!) * input[i]! * output[j]!);
      }
    // Ranges count relative to their tensor's: layers of different size are compared.
    const whole = Math.max(...found);
    found.forEach((x, c) => void (into[c] = Math.max(into[c]!, x / whole)));
  };
  for (const p of set.producers) await widen(p, "output", 1, written);
  for (const { operator, block } of set.consumers) await widen(operator, "input", block, read);
  return written.map((w, c) => (w > 0 && read[c]! > 0 ? 2 ** Math.round(Math.log2(Math.sqrt(w / read[c]!))) : 1));
}
