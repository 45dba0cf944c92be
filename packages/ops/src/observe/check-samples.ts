import {
  elementCount,
  failure,
  isFloat,
  type Model,
  type ResidentTensor,
  type Samples,
  type ValueInfo,
  type Values,
} from "@pare/core";
import { numbersOf } from "../numeric.ts";

/**
 * Samples of a model that are looked at as they pass: a sample that lacks an input or has one of another name, type or
 * shape, that holds nothing, or numbers that are not finite is refused, and so is, once all have passed, an input that was
 * the same number everywhere: a range found on it would be wrong. Zeros are let in beside an input that varies: states.
 * @throws PareError `ops/sample` that names the input, from the iteration
 */
export const checkedSamples = (samples: Samples, model: Model): Samples => ({
  count: samples.count,
  async *open(signal) {
    const inputs = new Map(model.graph.inputs.map((v) => [v.name, v]));
    const needed = [...inputs.keys()].filter((name) => !model.graph.weights.has(name));
    /** The one number that an input had so far; NaN where there were several. */
    const only = new Map<string, number>();
    let index = 0;
    for await (const sample of samples.open(signal)) {
      for (const name of needed)
        if (!Object.hasOwn(sample, name))
          throw bad(name, `sample ${index} does not have it; it has ${namesOf(sample)}`);
      for (const [name, t] of Object.entries(sample)) {
        const input = inputs.get(name);
        if (!input) throw bad(name, `the model has no such input; it has ${[...inputs.keys()].join(", ")}`);
        const problem = misfit(input, t) ?? unfit(t, only, name);
        if (problem) throw bad(name, `sample ${index} ${problem}`);
      }
      yield sample;
      index++;
    }
    // A state starts at zero in every sample, beside an input that it comes from.
    const varies = [...only.values()].some(Number.isNaN);
    for (const [name, value] of only)
      if (!Number.isNaN(value) && !(varies && value === 0))
        throw bad(name, `it is ${value} everywhere in all ${index} samples, so nothing can be learned of it`);
  },
});

const bad = (input: string, message: string) =>
  failure("ops/sample", `the samples of ${input}: ${message}`, {
    location: { value: input },
    hint: "Give samples as the model will see them, preprocessed as it was trained.",
  });

const namesOf = (sample: Values): string => Object.keys(sample).join(", ") || "nothing";

/** What is wrong with its type or shape. */
function misfit({ type }: ValueInfo, { dtype, shape }: ResidentTensor): string | undefined {
  if (elementCount(shape) === 0) return `is empty: its shape is [${shape}]`;
  if (type?.kind !== "tensor") return undefined;
  if (dtype !== type.dtype) return `is ${dtype}, the model takes ${type.dtype}`;
  const wanted = type.shape;
  const fits =
    !wanted || (wanted.length === shape.length && wanted.every((d, i) => typeof d !== "number" || d === shape[i]));
  return fits ? undefined : `has shape [${shape}], the model takes [${wanted}]`;
}

/** What is wrong with its numbers; remembers whether a float input of several elements was ever more than one number. */
function unfit(t: ResidentTensor, only: Map<string, number>, name: string): string | undefined {
  if (!isFloat(t.dtype)) return undefined;
  const numbers = numbersOf(t);
  const [first] = numbers;
  let same = true;
  for (let i = 0; i < numbers.length; i++) {
    if (!Number.isFinite(numbers[i]!)) return `holds ${numbers[i]} at element ${i}`;
    if (numbers[i] !== first) same = false;
  }
  if (numbers.length > 1) only.set(name, same && (only.get(name) ?? first) === first ? first! : Number.NaN);
  return undefined;
}
