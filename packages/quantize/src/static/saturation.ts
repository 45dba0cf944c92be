import {
  attribute,
  dataOf,
  failure,
  type GraphView,
  intAttribute,
  intsAttribute,
  labelOf,
  type Model,
  type Node,
  operatorOf,
  type ResidentTensor,
  type Runtime,
  resident,
  type Samples,
  type Values,
  viewOf,
} from "@pare/core";
import { inferTypes } from "@pare/ops/infer";
import { numbersOf } from "@pare/ops/numeric";
import { convolutionCodes } from "./window-codes.ts";

/** What saturating sums would do to one layer. */
export interface Saturation {
  /** Label of the node. */
  readonly layer: string;
  readonly op: string;
  /** Share of the pairs of products whose sum does not fit 16 bits. */
  readonly share: number;
  /** SQNR in dB of what the layer gives; infinite where nothing saturates. */
  readonly sqnrDb: number;
}

export interface SaturationOptions {
  readonly runtime: Runtime;
  readonly samples: Samples;
  readonly signal?: AbortSignal;
}

/**
 * Emulates processors that add pairs of products of unsigned activations and signed weights in 16 bits and saturate (x64 with
 * AVX2 or AVX-512 but without VNNI: `vpmaddubsw`), layer by layer on the codes that each reads on the samples; the worst first. Pairs
 * are neighbours along the sum, in convolutions channel by channel at each position; depthwise ones have kernels that do not add in
 * pairs. The remedy is `reduceRange`, with which nothing saturates.
 * @param model a model with codes, as `int8` makes it
 * @throws PareError `quantize/no-samples`, and what the runtime throws
 */
export async function emulateSaturation(
  model: Model,
  { runtime, samples, signal }: SaturationOptions,
): Promise<Saturation[]> {
  const { main } = viewOf(model);
  const layers = await layersOf(model, signal);
  const sums = layers.map(() => ({ pairs: 0, saturated: 0, signal: 0, noise: 0 }));
  const taps = [...new Set(layers.flatMap((l) => [l.codes, l.output]))];
  const stop = signal ? { signal } : {};
  const session = await runtime.prepare(model, { taps: taps.filter((v) => !main.isOutput(v)), ...stop });
  let count = 0;
  try {
    for await (const sample of samples.open(signal)) {
      const values = await session.run(sample, { outputs: taps, ...stop });
      layers.forEach((layer, i) => void add(layer, values, sums[i]!));
      count++;
    }
  } finally {
    await session.close();
  }
  if (count === 0) throw failure("quantize/no-samples", "there is not one sample to emulate");
  return layers
    .map(({ node }, i) => {
      const { pairs, saturated, signal: power, noise } = sums[i]!;
      const sqnrDb = noise === 0 ? Number.POSITIVE_INFINITY : 10 * Math.log10(power / noise);
      return { layer: labelOf(node), op: node.op, share: pairs === 0 ? 0 : saturated / pairs, sqnrDb };
    })
    .sort((a, b) => a.sqnrDb - b.sqnrDb || b.share - a.share);
}

/** A product of codes: outputs in rows of columns, each a sum over `length` products. */
interface Layer {
  readonly node: Node;
  /** Value of the codes that it reads, and the one that it gives. */
  readonly codes: string;
  readonly output: string;
  readonly columns: number;
  readonly length: number;
  /** Product of both scales, for each column. */
  readonly steps: Float64Array;
  /** Code of a weight. */
  readonly weight: (column: number, k: number) => number;
  /** Code of an activation, by the index of the output. */
  readonly activation: (codes: ResidentTensor, output: ResidentTensor) => (index: number, k: number) => number;
  /** Column of an output, by its index. */
  readonly columnOf: (output: ResidentTensor) => (index: number) => number;
}

interface Sums {
  pairs: number;
  saturated: number;
  signal: number;
  noise: number;
}

const LIMIT = { low: -32768, high: 32767 } as const;

function add(layer: Layer, values: Values, sums: Sums): void {
  const output = values[layer.output]! as ResidentTensor<"float32">;
  const numbers = dataOf(output) as Float32Array;
  const at = layer.activation(values[layer.codes]!, output);
  const columnOf = layer.columnOf(output);
  const risky = riskyPairs(layer);
  for (let i = 0; i < numbers.length; i++) {
    const column = columnOf(i);
    let lost = 0;
    for (const { k, w0, w1 } of risky[column]!) {
      const sum = at(i, k) * w0 + (w1 === 0 ? 0 : at(i, k + 1) * w1);
      const kept = Math.max(LIMIT.low, Math.min(LIMIT.high, sum));
      if (kept === sum) continue;
      sums.saturated++;
      lost += kept - sum;
    }
    sums.signal += numbers[i]! ** 2;
    sums.noise += (lost * layer.steps[column]!) ** 2;
    sums.pairs += Math.ceil(layer.length / 2);
  }
}

/** Of each column, the pairs of weights with which activations of 255 would saturate. */
function riskyPairs({ columns, length, weight }: Layer) {
  return Array.from({ length: columns }, (_, column) => {
    const pairs: { readonly k: number; readonly w0: number; readonly w1: number }[] = [];
    for (let k = 0; k + 1 < length; k += 2) {
      const [w0, w1] = [weight(column, k), weight(column, k + 1)];
      const most = 255 * (Math.max(w0, 0) + Math.max(w1, 0));
      const least = 255 * (Math.min(w0, 0) + Math.min(w1, 0));
      if (most > LIMIT.high || least < LIMIT.low) pairs.push({ k, w0, w1 });
    }
    return pairs;
  });
}

async function layersOf(model: Model, signal?: AbortSignal): Promise<Layer[]> {
  const { main } = viewOf(model);
  const types = inferTypes(model);
  const isUnsigned = (v: string) => {
    const type = types.of(main, v);
    return type?.kind === "tensor" && type.dtype === "uint8";
  };
  const layers: Layer[] = [];
  for (const node of main.graph.nodes) {
    const op = operatorOf(node);
    if (op !== "Conv" && op !== "MatMul" && op !== "Gemm") continue;
    if (op === "Gemm" && intAttribute(node, "transA", 0) !== 0) continue;
    const [x, w] = [node.inputs[0], node.inputs[1]].map((v) => decoderOf(main, v));
    const weight = w && main.constant(w.inputs[0]!);
    const scales = [x, w].map((d) => d && main.constant(d.inputs[1]!));
    if (!x || !w || main.constant(x.inputs[0]!) || !isUnsigned(x.inputs[0]!) || weight?.dtype !== "int8") continue;
    if (!scales.every((s) => s?.dtype === "float32") || (op !== "Conv" && weight.shape.length !== 2)) continue;
    const [input, own] = await Promise.all(scales.map(async (s) => numbersOf(await resident(s!, signal))));
    const codes = dataOf((await resident(weight, signal)) as ResidentTensor<"int8">) as Int8Array;
    const zero = x.inputs[2] ? main.constant(x.inputs[2]) : undefined;
    const padding = zero ? numbersOf(await resident(zero, signal))[0]! : 0;
    const place = { node, codes: x.inputs[0]!, output: node.outputs[0]! };
    const steps = (columns: number) =>
      Float64Array.from({ length: columns }, (_, c) => input![0]! * own![own!.length === 1 ? 0 : c]!);
    if (op === "Conv") {
      const [columns = 0, perGroup = 0, ...kernel] = weight.shape;
      if (perGroup < 2) continue;
      const positions = kernel.reduce((n, d) => n * d, 1);
      const window = {
        group: intAttribute(node, "group", 1),
        columns,
        perGroup,
        kernel,
        strides: intsAttribute(node, "strides"),
        dilations: intsAttribute(node, "dilations"),
        pads: intsAttribute(node, "pads"),
        autoPad: attribute(node, "auto_pad", "string"),
        padding,
      };
      layers.push({
        ...place,
        columns,
        length: perGroup * positions,
        steps: steps(columns),
        weight: (c, k) => codes[(c * perGroup + (k % perGroup)) * positions + Math.floor(k / perGroup)]!,
        activation: (all, output) =>
          convolutionCodes(dataOf(all as ResidentTensor<"uint8">), all.shape, output.shape, window),
        columnOf: ({ shape }) => {
          const area = shape.slice(2).reduce((n, d) => n * d, 1);
          return (i) => Math.floor(i / area) % columns;
        },
      });
    } else {
      const transposed = op === "Gemm" && intAttribute(node, "transB", 0) === 1;
      const [rows = 0, last = 0] = weight.shape;
      const [length, columns] = transposed ? [last, rows] : [rows, last];
      layers.push({
        ...place,
        columns,
        length,
        steps: steps(columns),
        weight: transposed ? (c, k) => codes[c * length + k]! : (c, k) => codes[k * columns + c]!,
        activation: (all) => {
          const data = dataOf(all as ResidentTensor<"uint8">);
          return (i, k) => data[Math.floor(i / columns) * length + k]!;
        },
        columnOf: () => (i) => i % columns,
      });
    }
  }
  return layers;
}

function decoderOf(view: GraphView, value: string | undefined): Node | undefined {
  const maker = view.producer(value ?? "");
  return maker && operatorOf(maker) === "DequantizeLinear" ? maker : undefined;
}
