import { elementCount, failure } from "@pare/core";
import { dtypeOf } from "../dtype-codes.ts";
import { broadcastPositions, type Nd, numbersOf, wholeAxis } from "./array.ts";
import { type EvaluateRule, type EvaluateRules, float, input, int, intList } from "./rule.ts";

const meanOf = (values: Float64Array) => values.reduce((s, v) => s + v, 0) / values.length;

const batchNormalization: EvaluateRule = (call) => {
  const at = (i: number) => numbersOf(input(call, i));
  const [x, scale, bias, mean, variance] = [at(0), at(1), at(2), at(3), at(4)];
  const { dtype, shape } = input(call, 0);
  const epsilon = float(call, "epsilon", 1e-5);
  const area = elementCount(shape.slice(2));
  const channels = shape[1] ?? 1;
  if ([scale, bias, mean, variance].some((t) => t.length !== channels))
    throw failure("ops/shape", `BatchNormalization: statistics of other than ${channels} channels`);
  const channel = (i: number) => Math.floor(i / area) % channels;
  const apply = (m: Float64Array, v: Float64Array): Nd => ({
    dtype,
    shape,
    data: x.map((e, i) => {
      const c = channel(i);
      return ((e - m[c]!) / Math.sqrt(v[c]! + epsilon)) * scale[c]! + bias[c]!;
    }),
  });
  if (int(call, "training_mode", 0) !== 1) return [apply(mean, variance)];
  // Training: the statistics of the batch, and running ones that move towards them.
  const momentum = float(call, "momentum", 0.9);
  const rows = Array.from({ length: channels }, (_, c) => x.filter((_, i) => channel(i) === c));
  const nowMean = Float64Array.from(rows, meanOf);
  const nowVariance = Float64Array.from(rows, (row, c) => meanOf(row.map((e) => (e - nowMean[c]!) ** 2)));
  const running = (before: Float64Array, now: Float64Array, i: number): Nd => ({
    dtype: input(call, i).dtype,
    shape: [channels],
    data: before.map((e, c) => e * momentum + now[c]! * (1 - momentum)),
  });
  return [apply(nowMean, nowVariance), running(mean, nowMean, 3), running(variance, nowVariance, 4)];
};

/** Rows of `size` elements, each brought to mean 0 and variance 1; with what it took. */
function standardise(values: Float64Array, size: number, epsilon: number) {
  if (values.length > 0 && !(Number.isInteger(size) && size > 0 && values.length % size === 0))
    throw failure("ops/shape", `${values.length} elements are no rows of ${size}`);
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
  const { data, means, inverses } = standardise(
    numbersOf(x),
    elementCount(x.shape.slice(axis)),
    float(call, "epsilon", 1e-5),
  );
  const [p, q] = [broadcastPositions(scale.shape, x.shape), bias && broadcastPositions(bias.shape, x.shape)];
  const scaled = data.map((v, i) => v * Number(scale.data[p[i]!]) + (bias ? Number(bias.data[q![i]!]) : 0));
  const rest = x.shape.map((d, i) => (i < axis ? d : 1));
  const statistic = (values: readonly number[]): Nd => ({
    dtype: dtypeOf(int(call, "stash_type", 1)) ?? "float32",
    shape: rest,
    data: Float64Array.from(values),
  });
  return [{ ...x, data: scaled }, statistic(means), statistic(inverses)];
};

const instanceNormalization: EvaluateRule = (call) => {
  const [x, scale, bias] = [input(call, 0), input(call, 1), input(call, 2)];
  const area = elementCount(x.shape.slice(2));
  const { data } = standardise(numbersOf(x), area, float(call, "epsilon", 1e-5));
  const channels = x.shape[1]!;
  return [
    {
      ...x,
      data: data.map(
        (v, i) =>
          v * Number(scale.data[Math.floor(i / area) % channels]) + Number(bias.data[Math.floor(i / area) % channels]),
      ),
    },
  ];
};

const groupNormalization: EvaluateRule = (call) => {
  const [x, scale, bias] = [input(call, 0), input(call, 1), input(call, 2)];
  const [channels, area] = [x.shape[1]!, elementCount(x.shape.slice(2))];
  const size = (channels / int(call, "num_groups", 1)) * area;
  const { data } = standardise(numbersOf(x), size, float(call, "epsilon", 1e-5));
  if ([scale, bias].some((t) => t.data.length !== channels))
    throw failure("ops/shape", `GroupNormalization: scale or bias of other than ${channels} channels`);
  const at = (t: Nd, i: number) => Number(t.data[Math.floor(i / area) % channels]);
  return [{ ...x, data: data.map((v, i) => v * at(scale, i) + at(bias, i)) }];
};

const rmsNormalization: EvaluateRule = (call) => {
  const [x, scale] = [input(call, 0), input(call, 1)];
  const axis = wholeAxis(int(call, "axis", -1), x.shape.length);
  const size = elementCount(x.shape.slice(axis));
  const epsilon = float(call, "epsilon", 1e-5);
  const values = numbersOf(x);
  const at = broadcastPositions(scale.shape, x.shape);
  const data = new Float64Array(values.length);
  for (let start = 0; start < values.length; start += size) {
    const row = values.subarray(start, start + size);
    const root = Math.sqrt(meanOf(row.map((v) => v * v)) + epsilon);
    row.forEach((v, i) => {
      data[start + i] = (v / root) * Number(scale.data[at[start + i]!]);
    });
  }
  return [{ ...x, data }];
};

/** Divides by a power of the squares of channels around. (Krizhevsky et al. 2012.) */
const localResponse: EvaluateRule = (call) => {
  const x = input(call, 0);
  const [channels, area] = [x.shape[1]!, elementCount(x.shape.slice(2))];
  const size = int(call, "size", 1);
  call.budget.spend(4 * x.data.length * Math.min(size, channels));
  const [alpha, beta, bias] = [float(call, "alpha", 1e-4), float(call, "beta", 0.75), float(call, "bias", 1)];
  const values = numbersOf(x);
  const data = values.map((v, i) => {
    const c = Math.floor(i / area) % channels;
    const last = Math.min(channels - 1, c + Math.ceil((size - 1) / 2));
    let squares = 0;
    for (let k = Math.max(0, c - Math.floor((size - 1) / 2)); k <= last; k++)
      squares += values[i + (k - c) * area]! ** 2;
    return v / (bias + (alpha / size) * squares) ** beta;
  });
  return [{ ...x, data }];
};

const meanVariance: EvaluateRule = (call) => {
  const x = input(call, 0);
  const axes = new Set((intList(call, "axes") ?? [0, 2, 3]).map((a) => wholeAxis(a, x.shape.length)));
  const rest = x.shape.map((d, i) => (axes.has(i) ? 1 : d));
  const group = broadcastPositions(rest, x.shape);
  const size = x.data.length / elementCount(rest);
  const values = numbersOf(x);
  const meansOf = (f: (v: number, g: number) => number) => {
    const total = new Float64Array(elementCount(rest));
    values.forEach((v, i) => {
      total[group[i]!]! += f(v, group[i]!);
    });
    return total.map((sum) => sum / size);
  };
  const mean = meansOf((v) => v);
  const variance = meansOf((v, g) => (v - mean[g]!) ** 2);
  const data = values.map((v, i) => (v - mean[group[i]!]!) / (Math.sqrt(variance[group[i]!]!) + 1e-9));
  return [{ ...x, data }];
};

export const normalizations: EvaluateRules = {
  GroupNormalization: groupNormalization,
  RMSNormalization: rmsNormalization,
  LRN: localResponse,
  MeanVarianceNormalization: meanVariance,
  BatchNormalization: batchNormalization,
  LayerNormalization: layerNormalization,
  InstanceNormalization: instanceNormalization,
};
