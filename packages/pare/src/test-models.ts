import { deriveTensor, graph, lazyTensor, type Model, model, node, type Tensor, tensor, value } from "@pare/core";
import { xorshift } from "./synthetic.ts";

/** Weights of about N(0, 1/fan-in), the same for the same seed. */
export function weight(shape: readonly number[], seed: number): Tensor<"float32"> {
  const random = xorshift(seed);
  const n = shape.reduce((a, b) => a * b, 1);
  const scale = Math.sqrt(12 / (shape[0] ?? 1));
  return tensor(
    "float32",
    shape,
    Float32Array.from({ length: n }, () => scale * (random() - 0.5)),
  );
}

/** `layers` of MatMul and Relu of width `width`. */
export function mlp(layers = 3, width = 64): Model {
  const names = Array.from({ length: layers }, (_, i) => `layer${i}`);
  return model(
    graph({
      name: "mlp",
      inputs: [value("x", "float32", ["N", width])],
      outputs: [value("y", "float32", ["N", width])],
      weights: new Map(names.map((name, i) => [`${name}.weight`, weight([width, width], i + 1)])),
      nodes: [
        ...names.flatMap((name, i) => [
          node("MatMul", [i === 0 ? "x" : `h${i - 1}`, `${name}.weight`], [`m${i}`], {}, { name }),
          node("Relu", [`m${i}`], [`h${i}`]),
        ]),
        node("Identity", [`h${layers - 1}`], ["y"]),
      ],
    }),
  );
}

/** A model of `count` matrices of `megabytes` each, which are made as they are read. */
export function large(count: number, megabytes: number): Model {
  const side = Math.floor(Math.sqrt((megabytes * 1e6) / 4));
  const zeros = lazyTensor({
    dtype: "float32",
    shape: [side, side],
    read: async ({ length }) => new Uint8Array(length),
  });
  const filled = (i: number) =>
    deriveTensor(zeros, {
      key: `fill@1:${i}`,
      map: (data, _, start) => data.map((__, k) => ((start + k * 7 + i) % 113) / 1130 - 0.05),
    });
  return model(
    graph({
      inputs: [value("x", "float32", ["N", side])],
      outputs: [value(`h${count - 1}`, "float32", ["N", side])],
      weights: new Map(Array.from({ length: count }, (_, i) => [`w${i}`, filled(i)])),
      nodes: Array.from({ length: count }, (_, i) => node("MatMul", [i === 0 ? "x" : `h${i - 1}`, `w${i}`], [`h${i}`])),
    }),
  );
}
