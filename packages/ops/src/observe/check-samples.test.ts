import { graph, model as makeModel, node, type ResidentTensor, samplesFrom, tensor, value } from "@pare/core";
import { expect, test } from "vitest";
import { checkedSamples } from "./check-samples.ts";

const model = makeModel(
  graph({
    inputs: [value("image", "float32", ["N", 2]), value("length", "int64", [1])],
    outputs: [value("y", "float32", ["N", 2])],
    nodes: [node("Relu", ["image"], ["y"])],
  }),
);
const image = (...numbers: number[]) => tensor("float32", [1, numbers.length], numbers);
const length = tensor("int64", [1], [5n]);
const read = async (...samples: Record<string, ResidentTensor>[]) => {
  let count = 0;
  for await (const _ of checkedSamples(samplesFrom(samples), model).open()) count++;
  return count;
};

test("good samples pass, also where an integer is always the same", async () => {
  expect(await read({ image: image(1, 2), length }, { image: image(1, 1), length })).toBe(2);
});

test.each([
  ["lacks an input", { length }, /image: sample 0 does not have it; it has length/],
  ["has an unknown one", { image: image(1, 2), length, x: length }, /x: the model has no such input/],
  ["is of another type", { image: tensor("float64", [1, 2], [1, 2]), length }, /image: sample 0 is float64/],
  ["has another size", { image: image(1, 2, 3), length }, /image: sample 0 has shape \[1,3\], the model takes \[N,2\]/],
  ["has another rank", { image: tensor("float32", [2], [1, 2]), length }, /image: sample 0 has shape \[2\]/],
  ["is empty", { image: tensor("float32", [0, 2], []), length }, /image: sample 0 is empty/],
  ["is not a number", { image: image(1, Number.NaN), length }, /image: sample 0 holds NaN at element 1/],
  ["is infinite", { image: image(Number.POSITIVE_INFINITY, 1), length }, /holds Infinity/],
  ["is constant", { image: image(3, 3), length }, /image: it is 3 everywhere in all 1 samples/],
])("a sample is refused that %s", async (_, sample, message) => {
  await expect(read(sample as never)).rejects.toThrow(message);
});

test("constant samples that differ are not constant, one that stands alone among others is not either", async () => {
  expect(await read({ image: image(3, 3), length }, { image: image(4, 4), length })).toBe(2);
});

test("a state that starts at zero passes beside what varies, and is refused alone", async () => {
  const { graph: g } = model;
  const stateful = { ...model, graph: { ...g, inputs: [...g.inputs, value("state", "float32", [2])] } };
  const all = async (sample: Record<string, ResidentTensor>) => {
    for await (const _ of checkedSamples(samplesFrom([sample]), stateful).open());
  };
  const state = tensor("float32", [2], [0, 0]);
  await all({ image: image(1, 2), length, state });
  await expect(all({ image: image(0, 0), length, state })).rejects.toThrow("image: it is 0 everywhere");
});
