import {
  bytesOf,
  dataOf,
  definePass,
  edit,
  elementsOf,
  type Model,
  type Node,
  PASS_API_VERSION,
  type ResidentTensor,
  storageView,
  type Tensor,
  tensor,
  viewOf,
  type Weight,
  weightsOf,
} from "@pare/core";
import { inferTypes } from "@pare/ops/infer";
import { statisticKey } from "@pare/ops/observe";
import { type ChannelOperator, channelOperators } from "../weights/channels.ts";
import { encoded } from "../weights/codes.ts";
import { gramOf, matrixOperators } from "./gptq-layers.ts";
import { isRoundedByInputs, planned, quantizationOptions, roundingOf, weightGranularity } from "./int8-options.ts";

/**
 * Moves into the biases what rounding the weights will shift, on average over the samples, in what each layer gives: the mean
 * input times the rounding error of the weights. Goes before `int8`, with the same options. (Nagel et al. 2019, "Data-Free
 * Quantization", arXiv:1906.04721, section 4.2, with measured means.)
 */
export const biasCorrection = definePass({
  name: "bias-correction",
  apiVersion: PASS_API_VERSION,
  needs: ["target", "runtime", "samples"],
  reads: "weights",
  options: quantizationOptions,
  observe(model, options, host) {
    const { groups, scheme } = planned(model, options, host);
    const meant = new Set(groups.map((g) => g.node));
    const means = found(model, meant).map((o) => ({ values: [o.reads], statistic: statisticFor(o) }));
    const byInputs = isRoundedByInputs(options, scheme);
    const grams = matrixOperators(model)
      .filter((o) => meant.has(o.node) && byInputs(o))
      .map(gramOf);
    return [...means, ...grams];
  },
  async run(model, options, ctx) {
    const { main } = viewOf(model);
    const { groups, scheme } = planned(model, options, ctx.host);
    const weights = new Map<string, Weight>();
    for (const w of weightsOf(viewOf(model))) if (w.view === main) weights.set(w.name, w);
    const shifts = new Map<ChannelOperator, Float64Array>();
    const operators = found(model, new Set(groups.map((g) => g.node)));
    const matrices = new Set(matrixOperators(model).map((o) => o.node));
    for (const [i, o] of operators.entries()) {
      ctx.progress(i, operators.length);
      const means = ctx.statistics.get(statisticKey(statisticFor(o), o.reads));
      const weight = weights.get(o.weight)!;
      if (!means) ctx.skip(weight, "the mean of its input was not measured");
      else {
        const { granularity, limits, leastError } = weightGranularity(scheme, options, o.node, weight);
        const made = encoded(weight.tensor as Tensor<"float32">, {
          name: o.weight,
          format: scheme.weights.dtype as "int8",
          symmetric: scheme.weights.symmetric,
          granularity,
          limits,
          leastError,
          rounding: roundingOf(
            options,
            scheme,
            o.node,
            matrices.has(o.node) ? o : undefined,
            granularity,
            ctx.statistics,
          ),
        });
        const mean = dataOf(means as ResidentTensor<"float32">) as Float32Array;
        shifts.set(o, await shiftOf(o, weight.tensor as Tensor<"float32">, made, mean, ctx.signal));
      }
    }
    return edit(model, (e) => {
      for (const [o, shift] of shifts) {
        const bias = o.bias === undefined ? undefined : weights.get(o.bias);
        const before = bias && (dataOf(bias.tensor as ResidentTensor<"float32">) as Float32Array);
        const after = Float32Array.from(shift, (s, c) => (before?.[c] ?? 0) - s);
        const weight = weights.get(o.weight)!;
        if (bias) e.setWeight(bias, tensor("float32", bias.tensor.shape, after));
        else if (o.node.op === "MatMul") {
          ctx.skip(weight, "has no bias");
          continue;
        } else {
          const name = e.addWeight(
            main,
            e.fresh(`${o.node.outputs[0]}_bias`),
            tensor("float32", [after.length], after),
          );
          e.replace(o.node, [{ ...o.node, inputs: [o.node.inputs[0]!, o.node.inputs[1]!, name] }]);
        }
        ctx.done(bias ?? { view: main, node: o.node }, { shift: Math.max(...shift.map(Math.abs)) });
      }
    });
  },
});

const found = (model: Model, meant: ReadonlySet<Node>): ChannelOperator[] =>
  channelOperators(model, inferTypes(model)).filter((o) => meant.has(o.node));

const statisticFor = ({ node }: ChannelOperator): string =>
  node.op.startsWith("Conv") ? "channel-mean@1" : "channel-mean@-1";

/** The mean of what the rounding error of a weight adds to each output channel. */
async function shiftOf(
  { layout }: ChannelOperator,
  source: Tensor<"float32">,
  { codes, affine }: ReturnType<typeof encoded>,
  mean: Float32Array,
  signal: AbortSignal,
): Promise<Float64Array> {
  const { scale, zeroPoint } = await affine(signal);
  const shift = new Float64Array(layout.outputs);
  for await (const { data, start } of elementsOf(source, signal)) {
    const bytes = await codes.read({ offset: start, length: data.length }, signal);
    const stored = storageView("int8", bytesOf(bytes)) as Int8Array;
    for (let k = 0; k < data.length; k++) {
      const o = layout.output(start + k);
      const g = scale.length === 1 ? 0 : o;
      shift[o]! += mean[layout.input(start + k)]! * ((stored[k]! - zeroPoint[g]!) * scale[g]! - data[k]!);
    }
  }
  return shift;
}
