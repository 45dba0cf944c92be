import {
  dataOf,
  definePass,
  edit,
  elementsOf,
  type Node,
  PASS_API_VERSION,
  type ResidentTensor,
  type Tensor,
  viewOf,
  type Weight,
  weightsOf,
} from "@pare/core";
import { inferTypes } from "@pare/ops/infer";
import { statisticKey } from "@pare/ops/observe";
import { namePattern } from "@pare/ops/weights";
import * as z from "zod";
import { scopeOptions } from "../options.ts";
import { type ChannelOperator, channelOperators } from "../weights/channels.ts";
import { scaledChannels } from "../weights/scale-channels.ts";
import { type Folded, foldFactors } from "./fold-factors.ts";

/** Largest magnitude of each channel of what a product reads. */
const STATISTIC = "channel-absmax@-1";

/**
 * SmoothQuant: moves the spread of what matrix products read, channel by channel, into their weights, where a scale for each
 * output does not mind it: `x / s` times `s w`, with `s = max|x|^alpha / max|w|^(1 - alpha)`. The division goes into the
 * normalization, product or sum before. Factors are powers of two, so that not a bit of the float model changes. Goes before
 * `int8` or `dynamicInt8`. (Xiao et al. 2023, "SmoothQuant", arXiv:2211.10438.)
 */
export const smoothQuant = definePass({
  name: "smooth-quant",
  apiVersion: PASS_API_VERSION,
  needs: ["runtime", "samples"],
  reads: "weights",
  options: z.strictObject({
    alpha: z
      .number()
      .min(0)
      .max(1)
      .default(0.5)
      .describe("how much of the spread goes into the weights: 0 nothing but theirs, 1 all"),
    include: scopeOptions.include,
    exclude: scopeOptions.exclude,
  }),
  observe: (model, options) => [
    { values: [...productsOf(channelOperators(model, inferTypes(model)), options).keys()], statistic: STATISTIC },
  ],
  async run(model, options, ctx) {
    const { main } = viewOf(model);
    const types = inferTypes(model);
    const shapeOf = (v: string) => {
      const type = types.of(main, v);
      return type?.kind === "tensor" ? type.shape : undefined;
    };
    const all = channelOperators(model, types);
    const operators = new Map(all.map((o) => [o.node, o]));
    const weights = new Map<string, Weight>();
    for (const w of weightsOf(viewOf(model))) if (w.view === main) weights.set(w.name, w);
    const plans: { readers: readonly ChannelOperator[]; factors: Float64Array; folded: Folded }[] = [];
    const found = productsOf(all, options);
    const left = new Map<string, string>();
    for (const [value, readers] of found) {
      ctx.progress(plans.length, found.size, "steps");
      const skip = (reason: string) => {
        for (const { weight } of readers) left.set(weight, reason);
      };
      const absmax = ctx.statistics.get(statisticKey(STATISTIC, value));
      const channels = readers[0]!.layout.inputs;
      if (absmax?.shape[0] !== channels) {
        skip("the channels of its input were not measured");
        continue;
      }
      const inputs = dataOf(absmax as ResidentTensor<"float32">) as Float32Array;
      const own = new Float64Array(channels);
      for (const reader of readers) await widen(own, reader, weights.get(reader.weight)!, ctx.signal);
      const factors = factorsOf(inputs, own, options.alpha);
      if (factors.every((f) => f === 1)) {
        skip("the channels of its input are alike");
        continue;
      }
      const meant = new Set(readers.map((r) => r.node));
      const inverse = factors.map((f) => 1 / f);
      const folded = foldFactors(main, value, inverse, operators, shapeOf, (n) => meant.has(n));
      if (typeof folded === "string") {
        skip(folded);
        continue;
      }
      plans.push({ readers, factors, folded });
    }
    return edit(model, (e) => {
      const add = (node: Node, index: number, t: Tensor) => {
        const before = node.inputs[index]!;
        const name = e.addWeight(main, e.fresh(`${before}_smooth`), t);
        e.setInput({ view: main, node, index }, name);
        if (main.uses(before).length === 1 && !main.isOutput(before)) {
          const maker = main.producer(before);
          if (maker) e.replace(maker, []);
          else e.removeWeight(main, before);
        }
      };
      const input = new Map<ChannelOperator, Float64Array>();
      const output = new Map<ChannelOperator, Float64Array>();
      for (const { readers, factors, folded } of plans) {
        for (const { node, index, tensor } of folded.inputs) add(node, index, tensor);
        for (const reader of readers) input.set(reader, factors);
        if (folded.operator)
          output.set(
            folded.operator,
            factors.map((f) => 1 / f),
          );
      }
      for (const o of new Set([...input.keys(), ...output.keys()])) {
        const w = weights.get(o.weight)!;
        const { inputs, outputs } = o.layout;
        const own = input.get(o) ?? new Float64Array(inputs).fill(1);
        const given = output.get(o) ?? new Float64Array(outputs).fill(1);
        e.setWeight(w, scaledChannels(w.tensor as Tensor<"float32">, o.layout, own, given));
        ctx.done(w, { factor: Math.max(...own) / Math.min(...own) });
        left.delete(w.name);
      }
      for (const [name, reason] of left) ctx.skip(weights.get(name)!, reason);
    });
  },
});

/** Matrix products in scope, by what they read. */
function productsOf(
  operators: readonly ChannelOperator[],
  { include, exclude }: { readonly include?: string[] | undefined; readonly exclude?: string[] | undefined },
): Map<string, ChannelOperator[]> {
  const meant = namePattern(include, exclude);
  const products = new Map<string, ChannelOperator[]>();
  for (const o of operators)
    if ((o.node.op === "MatMul" || o.node.op === "Gemm") && meant(o.weight))
      products.set(o.reads, [...(products.get(o.reads) ?? []), o]);
  return products;
}

/** Takes the largest magnitude of each input channel of a weight into account. */
async function widen(most: Float64Array, { layout }: ChannelOperator, { tensor }: Weight, signal: AbortSignal) {
  for await (const { data, start } of elementsOf(tensor as Tensor<"float32">, signal))
    for (let k = 0; k < data.length; k++) {
      const c = layout.input(start + k);
      most[c] = Math.max(most[c]!, Math.abs(data[k]!));
    }
}

/** The power of two for each channel, 1 in the middle of all; 1 for channels without anything. */
function factorsOf(inputs: Float32Array, weights: Float64Array, alpha: number): Float64Array {
  const exponents = Array.from(inputs, (x, c) => alpha * Math.log2(x) - (1 - alpha) * Math.log2(weights[c]!));
  const known = exponents.filter(Number.isFinite);
  const middle = known.reduce((a, b) => a + b, 0) / Math.max(1, known.length);
  return Float64Array.from(exponents, (x) => (Number.isFinite(x) ? 2 ** Math.round(x - middle) : 1));
}
