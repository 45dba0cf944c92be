import {
  dataOf,
  definePass,
  edit,
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
import { smoothFactors } from "./smooth-factors.ts";

/** What is measured of each channel of what an operator reads. */
const statisticsFor = ({ node }: ChannelOperator) =>
  ["channel-absmax", "channel-mean-square"].map((s) => `${s}@${node.op.startsWith("Conv") ? 1 : -1}`);

/**
 * SmoothQuant: moves the spread of what matrix products and convolutions read, channel by channel, into their weights, where a scale
 * for each output does not mind it: `x / s` times `s w`, with `s = max|x|^alpha / max|w|^(1 - alpha)`. The division goes into the
 * normalization, product, convolution or sum before. Factors are powers of two, so that not a bit of the float model changes. Goes before
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
      .optional()
      .describe(
        "how much of the spread goes into the weights: 0 nothing but theirs, 1 all; by default what leaves the least error by estimate",
      ),
    include: scopeOptions.include,
    exclude: scopeOptions.exclude,
  }),
  observe: (model, options) =>
    [...readersOf(channelOperators(model, inferTypes(model)), options)].flatMap(([value, [reader]]) =>
      statisticsFor(reader!).map((statistic) => ({ values: [value], statistic })),
    ),
  async run(model, options, ctx) {
    const { main } = viewOf(model);
    const types = inferTypes(model);
    const shapeOf = (v: string) => {
      const type = types.of(main, v);
      return type?.kind === "tensor" ? type.shape : undefined;
    };
    const axisOf = (value: string, { node }: ChannelOperator) =>
      node.op.startsWith("Conv") ? 1 : (shapeOf(value)?.length ?? 0) - 1;
    const all = channelOperators(model, types);
    const operators = new Map(all.map((o) => [o.node, o]));
    const weights = new Map<string, Weight>();
    for (const w of weightsOf(viewOf(model))) if (w.view === main) weights.set(w.name, w);
    const plans: { readers: readonly ChannelOperator[]; factors: Float64Array; folded: Folded }[] = [];
    const found = readersOf(all, options);
    const left = new Map<string, string>();
    for (const [value, meaning] of found) {
      ctx.progress(plans.length, found.size, "steps");
      const skip = (reason: string) => {
        for (const { weight } of meaning) left.set(weight, reason);
      };
      const axis = axisOf(value, meaning[0]!);
      const readers = meaning.filter((r) => axisOf(value, r) === axis);
      const [most, power] = statisticsFor(readers[0]!).map((s) => ctx.statistics.get(statisticKey(s, value)));
      if (!most || !power || most.shape[0] !== readers[0]!.layout.inputs) {
        skip("the channels of its input were not measured");
        continue;
      }
      const factors = await smoothFactors(
        { most: numbers(most), power: numbers(power) },
        readers.map((operator) => ({ operator, weight: weights.get(operator.weight)! })),
        options.alpha,
        ctx.signal,
      );
      if (factors.every((f) => f === 1)) {
        skip("the channels of its input are alike");
        continue;
      }
      const meant = new Set(readers.map((r) => r.node));
      const inverse = factors.map((f) => 1 / f);
      const folded = foldFactors(main, value, inverse, axis, operators, shapeOf, (n) => meant.has(n));
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

/** Operators in scope, by what they read. */
function readersOf(
  operators: readonly ChannelOperator[],
  { include, exclude }: { readonly include?: string[] | undefined; readonly exclude?: string[] | undefined },
): Map<string, ChannelOperator[]> {
  const meant = namePattern(include, exclude);
  const readers = new Map<string, ChannelOperator[]>();
  for (const o of operators) if (meant(o.weight)) readers.set(o.reads, [...(readers.get(o.reads) ?? []), o]);
  return readers;
}

const numbers = (t: ResidentTensor) => dataOf(t as ResidentTensor<"float32">) as Float32Array;
