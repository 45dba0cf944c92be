import { elementsOf, type Tensor, type Weight } from "@pare/core";
import type { ChannelOperator } from "../weights/channels.ts";

/** A layer that reads the channels, and its weight. */
export interface Reader {
  readonly operator: ChannelOperator;
  readonly weight: Weight;
}

/** Of each channel: the largest magnitude, and the mean square. */
export interface ChannelStatistics {
  readonly most: Float32Array;
  readonly power: Float32Array;
}

/** Shares that are tried where none is given. */
const ALPHAS = [0.25, 0.5, 0.75, 1];

/**
 * The power of two by which each channel is divided, and that its weights are multiplied with, 1 in the middle of all; 1 for
 * channels without anything. Without `alpha` the share is taken that leaves the least error of rounding 8 bits by estimate: of what
 * is read, in steps of its widest channel, and of the weights, in steps of the widest of each output. It may be best to move nothing.
 */
export async function smoothFactors(
  statistics: ChannelStatistics,
  readers: readonly Reader[],
  alpha: number | undefined,
  signal: AbortSignal,
): Promise<Float64Array> {
  const { most } = statistics;
  const own = new Float64Array(most.length);
  for (const reader of readers)
    await visit(reader, signal, (x, input) => {
      own[input] = Math.max(own[input]!, Math.abs(x));
    });
  const at = (a: number) => factorsOf(most, own, a);
  if (alpha !== undefined) return at(alpha);
  const candidates = [new Float64Array(most.length).fill(1), ...ALPHAS.map(at)];
  const errors = await estimates(statistics, readers, candidates, signal);
  return candidates[errors.indexOf(Math.min(...errors))]!;
}

/** Power of the rounding errors that each of several factors leaves, relative to what each output gives. */
async function estimates(
  { most, power }: ChannelStatistics,
  readers: readonly Reader[],
  candidates: readonly Float64Array[],
  signal: AbortSignal,
): Promise<number[]> {
  const sums = candidates.map(() => 0);
  const ranges = candidates.map((factors) => most.reduce((m, x, c) => Math.max(m, x / factors[c]!), 0));
  for (const reader of readers) {
    const { outputs } = reader.operator.layout;
    const each = () => candidates.map(() => new Float64Array(outputs));
    /** For each output: power of what it gives, of the weights, of what is read by them, and the widest weight. */
    const [given, weights, read, widest] = [new Float64Array(outputs), each(), each(), each()];
    await visit(reader, signal, (x, input, output) => {
      given[output]! += x * x * power[input]!;
      for (let k = 0; k < candidates.length; k++) {
        const f = candidates[k]![input]!;
        const w = Math.abs(x * f);
        weights[k]![output]! += w * w;
        read[k]![output]! += power[input]! / (f * f);
        if (w > widest[k]![output]!) widest[k]![output] = w;
      }
    });
    candidates.forEach((_, k) => {
      for (let o = 0; o < outputs; o++) {
        const error = ranges[k]! ** 2 * weights[k]![o]! + widest[k]![o]! ** 2 * read[k]![o]!;
        if (given[o]! > 0) sums[k]! += error / given[o]!;
      }
    });
  }
  return sums;
}

async function visit(
  { operator, weight }: Reader,
  signal: AbortSignal,
  each: (x: number, input: number, output: number) => void,
): Promise<void> {
  const { layout } = operator;
  for await (const { data, start } of elementsOf(weight.tensor as Tensor<"float32">, signal))
    for (let k = 0; k < data.length; k++) each(data[k]!, layout.input(start + k), layout.output(start + k));
}

function factorsOf(inputs: Float32Array, weights: Float64Array, alpha: number): Float64Array {
  const exponents = Array.from(inputs, (x, c) => alpha * Math.log2(x) - (1 - alpha) * Math.log2(weights[c]!));
  const known = exponents.filter(Number.isFinite);
  const middle = known.reduce((a, b) => a + b, 0) / Math.max(1, known.length);
  return Float64Array.from(exponents, (x) => (Number.isFinite(x) ? 2 ** Math.round(x - middle) : 1));
}
