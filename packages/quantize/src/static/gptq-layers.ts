import {
  dataOf,
  intAttribute,
  type Model,
  type Observation,
  type ResidentTensor,
  type Statistics,
  viewOf,
} from "@pare/core";
import { inferTypes } from "@pare/ops/infer";
import { Fingerprint } from "@pare/ops/numeric";
import { statisticKey } from "@pare/ops/observe";
import type { CodeLimits } from "../weights/affine.ts";
import { type ChannelOperator, channelOperators } from "../weights/channels.ts";
import type { CodeArray, Rounding } from "../weights/codes.ts";
import { gptqCodes, type MatrixView } from "./gptq.ts";

/** Most inputs of a layer: the time to round it grows with the cube. */
const MOST_INPUTS = 4096;

/** Operators whose weight is a matrix, so that each output is a product of one vector of inputs: what GPTQ can round. */
export function matrixOperators(model: Model): ChannelOperator[] {
  const { main } = viewOf(model);
  return channelOperators(model, inferTypes(model)).filter(({ node, weight, layout: { inputs, outputs } }) => {
    const elements = main.constant(weight)!.shape.reduce((n, d) => n * d, 1);
    return node.op !== "ConvTranspose" && elements === inputs * outputs && inputs <= MOST_INPUTS;
  });
}

/** The statistic of what an operator reads that GPTQ needs. */
export const gramOf = ({ node, reads }: ChannelOperator): Observation => ({
  values: [reads],
  statistic: `gram@${node.op === "Conv" ? 1 : -1}`,
});

/** Rounds an operator's weight by its inputs, if they were measured. */
export function gptqRounding(
  operator: ChannelOperator,
  statistics: Statistics,
  limits: CodeLimits,
): Rounding | undefined {
  const gram = statistics.get(statisticKey(gramOf(operator).statistic, operator.reads));
  if (!gram) return undefined;
  const inputs = dataOf(gram as ResidentTensor<"float32">) as Float32Array;
  return {
    key: "gptq",
    codes(data, affine, groups) {
      const print = new Fingerprint().add(data).add(affine.scale).add(affine.zeroPoint).add(groups);
      const key = `${operator.weight} ${print} ${limits.min} ${limits.max}`;
      let known = found.get(gram);
      if (!known) found.set(gram, (known = new Map()));
      let codes = known.get(key);
      if (!codes) known.set(key, (codes = gptqCodes(data, matrixOf(operator), inputs, affine, groups, limits)));
      return codes;
    },
  };
}

/** Codes that were found, for as long as the statistics live: a search asks for the same again in each trial. */
const found = new WeakMap<ResidentTensor, Map<string, CodeArray>>();

function matrixOf({ node, layout }: ChannelOperator): MatrixView {
  const { inputs, outputs } = layout;
  const byRows = node.op === "Conv" || intAttribute(node, "transB", 0) === 1;
  return { inputs, outputs, at: byRows ? (o, i) => o * inputs + i : (o, i) => i * outputs + o };
}
