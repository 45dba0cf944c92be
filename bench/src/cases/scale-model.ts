import { attr, type Model, tensor } from "@pare/core";
import { buildGraph, trainedLike } from "@pare/testing";

/** The rules of `optimize` that the model has something for: each block of ten nodes brings three of the eight. */
const WIDTH = 8;

/**
 * A chain of small operators, of which three of ten can be simplified, by eight rules in turn: identities, neutral
 * elements, pairs of reshapes and of transpositions, repeated expressions, `HardSwish` and `GELU` spelled out, arithmetic of
 * constants. Weights are shared, so that the file is its nodes.
 */
export function scaleModel(count: number): { readonly model: Model; readonly rewrites: number } {
  const b = buildGraph();
  const scalar = (v: number) => b.weight(tensor("float32", [], [v]));
  const ints = (...v: number[]) => b.weight(tensor("int64", [v.length], v));
  const [zero, one, two, three, six, half, root] = [0, 1, 2, 3, 6, 0.5, Math.SQRT2].map(scalar) as [
    string,
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  const row = b.weight(trainedLike([WIDTH], 1));
  const [narrow, wide] = [ints(-1, 2, 2, 2), ints(-1, WIDTH)];
  let x = b.input("float32", ["N", WIDTH], "x");
  let nodes = 0;
  let rewrites = 0;
  const op = (name: string, inputs: readonly string[], attributes = {}) => {
    nodes++;
    return b.op(name, inputs, attributes);
  };
  const motifs: (() => void)[] = [
    () => (x = op("Identity", [x])),
    () => (x = op("Mul", [x, one])),
    () => (x = op("Reshape", [op("Reshape", [x, narrow]), wide])),
    () => {
      const turned = op("Transpose", [x], { perm: attr.ints([1, 0]) });
      x = op("Transpose", [op("Sigmoid", [turned])], { perm: attr.ints([1, 0]) });
    },
    () => (x = op("Max", [op("Tanh", [x]), op("Tanh", [x])])),
    () => (x = op("Div", [op("Mul", [x, op("Clip", [op("Add", [x, three]), zero, six])]), six])),
    () => (x = op("Mul", [op("Mul", [x, op("Add", [op("Erf", [op("Div", [x, root])]), one])]), half])),
    () => (x = op("Add", [x, op("Sub", [op("Neg", [two]), half])])),
  ];
  // What stays between the motifs, so that they are three of ten.
  const stays = ["Tanh", "Sin", "Softsign", "Atan"];
  while (nodes < count) {
    motifs[rewrites % motifs.length]!();
    rewrites++;
    while (nodes < Math.min(count, (rewrites * 10) / 3)) x = op(stays[nodes % stays.length]!, [x]);
    if (rewrites % 64 === 0) x = op("Add", [x, row]);
  }
  b.output(x);
  return { model: b.model(), rewrites };
}
