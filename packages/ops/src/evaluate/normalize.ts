import { elementCount, failure } from "@pare/core";
import { broadcastPositions, type Nd, numbersOf, wholeAxis } from "./array.ts";
import { type EvaluateRule, type EvaluateRules, float, input, int } from "./rule.ts";

const meanOf = (values: Float64Array) => values.reduce((s, v) => s + v, 0) / values.length;

const batchNormalization: EvaluateRule = (call) => {
  if (int(call, "training_mode", 0) === 1)
    throw failure("ops/training", "BatchNormalization in training mode is not evaluated", { location: { node: call.node.name } });
  const [x, scale, bias, mean, variance] = [0, 1, 2, 3, 4].map((i) => input(call, i)) as [Nd, Nd, Nd, Nd, Nd];
  const epsilon = float(call, "epsilon", 1e-5);
  const area = elementCount(x.shape.slice(2));
  const channels = x.shape[1]!;
  const at = (t: Nd, c: number) => Number(t.data[c]);
  const data = numbersOf(x).map((v, i) => {
    const c = Math.floor(i / area) % channels;
    return ((v - at(mean, c)) / Math.sqrt(at(variance, c) + epsilon)) * at(scale, c) + at(bias, c);
  });
  return [{ ...x, data }];
};

/** Rows of `size` elements, each brought to mean 0 and variance 1; with what it took. */
function standardise(values: Float64Array, size: number, epsilon: number) {
  const data = new Float64Array(values.length);
  const means: number[] = [];
  const inverses: number[] = [];
  for (let start = 0; start < values.length; start += size) {
    const row = values.subarray(start, start + size);
    const mean = meanOf(row);
    const inverse = 1 / Math.sqrt(meanOf(row.map((v) => (v - mean) ** 2)) + epsilon);
    row.forEach((v, i) => {
      data[start + i] = (v - mean) * inverse;
    });
    means.push(mean);
    inverses.push(inverse);
  }
  return { data, means, inverses };
}

const layerNormalization: EvaluateRule = (call) => {
  const [x, scale] = [input(call, 0), input(call, 1)];
  const bias = call.inputs[2];
  const axis = wholeAxis(int(call, "axis", -1), x.shape.length);
  const { data, means, inverses } = standardise(numbersOf(x), elementCount(x.shape.slice(axis)), float(call, "epsilon", 1e-5));
  const [p, q] = [broadcastPositions(scale.shape, x.shape), bias && broadcastPositions(bias.shape, x.shape)];
  const scaled = data.map((v, i) => v * Number(scale.data[p[i]!]) + (bias ? Number(bias.data[q![i]!]) : 0));
  const rest = x.shape.map((d, i) => (i < axis ? d : 1));
  const statistic = (values: readonly number[]): Nd => ({ dtype: "float32", shape: rest, data: Float64Array.from(values) });
  return [{ ...x, data: scaled }, statistic(means), statistic(inverses)];
};

const instanceNormalization: EvaluateRule = (call) => {
  const [x, scale, bias] = [input(call, 0), input(call, 1), input(call, 2)];
  const area = elementCount(x.shape.slice(2));
  const { data } = standardise(numbersOf(x), area, float(call, "epsilon", 1e-5));
  const channels = x.shape[1]!;
  return [{ ...x, data: data.map((v, i) => v * Number(scale.data[Math.floor(i / area) % channels]) + Number(bias.data[Math.floor(i / area) % channels])) }];
};

export const normalizations: EvaluateRules = {
  BatchNormalization: batchNormalization,
  LayerNormalization: layerNormalization,
  InstanceNormalization: instanceNormalization,
};
