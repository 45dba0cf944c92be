import {
  byteLengthOf,
  constantOf,
  type Dim,
  dataOf,
  elementCount,
  failure,
  isFloat,
  isPareError,
  type Model,
  PareError,
  type ResidentTensor,
  type Samples,
  samplesFrom,
  tensor,
  type ValueInfo,
  type Values,
  viewOf,
} from "@pare/core";
import { stringTensor } from "@pare/core/strings";
import { tensorOf } from "@pare/ops/numeric";

export interface SyntheticOptions {
  /** How many samples. Default 4. */
  readonly count?: number;
  /** The same seed gives the same samples. Default 1. */
  readonly seed?: number;
  /** Shapes of inputs whose dimensions are not fixed, by the input's name. */
  readonly shapes?: ReadonlyMap<string, readonly number[]>;
}

/**
 * Inputs for a model of which no data is given: floats of a standard normal distribution; integers that the graph
 * compares with a constant are that constant, those that look up a table are its rows, masks are ones; a free dimension is 1 where it is the first,
 * 224 where it is a picture's, 512 of a signal, 16 where it has a name, otherwise 1. They show whether two models compute the same, not how well either works.
 */
export function syntheticSamples(model: Model, { count = 4, seed = 1, shapes }: SyntheticOptions = {}): Samples {
  const inputs = model.graph.inputs.filter((v) => !model.graph.weights.has(v.name));
  for (const name of shapes?.keys() ?? [])
    if (!inputs.some((v) => v.name === name))
      throw failure("pare/shape", `the model has no input ${name}`, {
        hint: `It has ${inputs.map((v) => v.name).join(", ")}.`,
      });
  const sizes = inputShapes(model, shapes);
  const random = xorshift(seed);
  const made: Values[] = [];
  for (let i = 0; i < count; i++) {
    made.push(Object.fromEntries(inputs.map((v) => [v.name, inputValue(model, v, random, sizes.get(v.name))])));
  }
  return samplesFrom(made);
}

/** What made-up inputs look like: `x float32 [1, 3, 224, 224]`. */
export async function describeSamples(samples: Samples): Promise<string> {
  for await (const sample of samples.open())
    return Object.entries(sample)
      .map(([name, t]) => `${name} ${t.dtype} [${t.shape.join(", ")}]`)
      .join("; ");
  return "none";
}

/** Runs `work` on made-up samples; when the engine fails there, the error says that they may be why. */
export async function withMadeUp<T>(samples: Samples, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isPareError(error) || !/\/(failed|crashed|input)$/.test(error.code)) throw error;
    const hint = `The inputs were made up (${await describeSamples(samples)}) and may not suit the model: give samples (--samples), or the shapes it takes (--shape name=1,3,224,224).`;
    throw new PareError(
      error.diagnostics.map((d) => ({ ...d, hint: d.hint ? `${d.hint} ${hint}` : hint })),
      { cause: error },
    );
  }
}

/** The shapes of made-up inputs, of tensors only. */
export function inputShapes(
  model: Model,
  given: ReadonlyMap<string, readonly number[]> = new Map(),
): Map<string, readonly number[]> {
  const symbols = new Map<string, number>();
  return new Map(
    model.graph.inputs.flatMap(({ name, type }) =>
      type?.kind !== "tensor" || model.graph.weights.has(name)
        ? []
        : [
            [
              name,
              given.get(name) ??
                (type.shape ?? [1]).map((d, i, all) => size(d, i, all.length, isFloat(type.dtype), symbols)),
            ] as const,
          ],
    ),
  );
}

function inputValue(
  model: Model,
  v: ValueInfo,
  random: () => number,
  shape: readonly number[] | undefined,
): ResidentTensor {
  const { type } = v;
  if (type?.kind !== "tensor" || !shape)
    throw failure(
      "pare/no-samples",
      `no input can be made up for ${v.name}, which is ${type ? `a ${type.kind}` : "of unknown type"}`,
      {
        location: { value: v.name },
        hint: "Give samples.",
      },
    );
  const n = elementCount(shape);
  if (!Number.isSafeInteger(n) || n > 1 << 28)
    throw failure("pare/no-samples", `the input ${v.name} of shape [${shape}] is too large to be made up`, {
      hint: "Give samples.",
    });
  const { dtype } = type;
  if (dtype === "string")
    return stringTensor(
      shape,
      Array.from({ length: n }, () => ""),
    );
  if (isFloat(dtype))
    return tensorOf(
      dtype,
      shape,
      Float64Array.from({ length: n }, () => normal(random)),
    );
  if (dtype === "bool") return tensor(dtype, shape, new Array<number>(n).fill(1));
  if (byteLengthOf(dtype, 1) * 8 < 8 || dtype.startsWith("complex"))
    throw failure("pare/no-samples", `no ${dtype} can be made up for ${v.name}`, { hint: "Give samples." });
  const from = integersOf(model, v.name);
  return tensor(
    dtype,
    shape,
    Array.from({ length: n }, () => from(random)),
  );
}

/** Equal names are equal sizes. */
function size(d: Dim, axis: number, rank: number, signal: boolean, symbols: Map<string, number>): number {
  if (typeof d === "number" && d >= 0) return d;
  const known = typeof d === "string" ? symbols.get(d) : undefined;
  if (known !== undefined) return known;
  const picture = rank === 4 ? (axis === 1 ? 3 : 224) : undefined;
  // A dimension without a name may be a batch of states: 1 suits most.
  const named = typeof d === "string" && d !== "?";
  const chosen = axis === 0 ? 1 : (picture ?? (rank === 2 && signal ? 512 : named ? 16 : 1));
  if (named) symbols.set(d, chosen);
  return chosen;
}

/** Which integers an input takes, as far as the graph says. */
function integersOf(model: Model, name: string): (random: () => number) => number {
  const { main } = viewOf(model);
  for (const { view, node: n, index } of main.uses(name)) {
    const other = constantOf(view, n.inputs[1 - index] ?? "");
    if (n.op === "Equal" && other && elementCount(other.shape) === 1) {
      const wanted = Number(dataOf(other)[0]);
      return () => wanted;
    }
    if (n.op === "Gather" && index === 1) {
      const rows = view.constant(n.inputs[0]!)?.shape[0];
      if (rows !== undefined && rows > 0) return (random) => Math.floor(random() * rows);
    }
  }
  if (/mask/i.test(name)) return () => 1;
  return (random) => Math.floor(random() * 2);
}

/** Marsaglia's xorshift32 (2003), as numbers from 0 to 1, exclusive. */
export function xorshift(seed: number): () => number {
  let s = seed | 0 || 1;
  for (let i = 0; i < 8; i++) step();
  function step() {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
  }
  return () => {
    step();
    return (s >>> 0) / 4294967296;
  };
}

/** Box and Muller (1958). */
const normal = (random: () => number): number =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
