import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { attr, graph, type Model, model, node, tensor, value } from "@pare/core";

const floats = (count: number, seed: number) =>
  Float32Array.from({ length: count }, (_, i) => Math.sin((i + 1) * 12.9898 * seed) * 0.5);

/** y = x @ w + b, then Relu; x [N, 4], y [N, 3]. Types of inner values are known. */
export const linear = (): Model =>
  model(
    graph({
      inputs: [value("x", "float32", ["N", 4])],
      outputs: [value("y", "float32", ["N", 3])],
      weights: new Map([
        ["w", tensor("float32", [4, 3], floats(12, 1))],
        ["b", tensor("float32", [3], [1, -1, 0.5])],
      ]),
      nodes: [
        node("MatMul", ["x", "w"], ["product"]),
        node("Add", ["product", "b"], ["sum"]),
        node("Relu", ["sum"], ["y"]),
      ],
      types: new Map([
        ["product", value("product", "float32", ["N", 3])],
        ["sum", value("sum", "float32", ["N", 3])],
      ]),
    }),
    { opsets: new Map([["", 17]]) },
  );

/** Convolutions, normalization and activations that ONNX Runtime fuses; no inner types. x [1, 3, H, W]. */
export const convolutional = (layers = 4): Model => {
  const weights = new Map();
  const nodes = [];
  let from = "x";
  for (let i = 0, channels = 3; i < layers; i++, channels = 8) {
    weights.set(`w${i}`, tensor("float32", [8, channels, 3, 3], floats(72 * channels, i + 2)));
    for (const part of ["scale", "shift", "mean"]) weights.set(`${part}${i}`, tensor("float32", [8], floats(8, i + 3)));
    weights.set(`var${i}`, tensor("float32", [8], new Float32Array(8).fill(0.7)));
    nodes.push(
      node("Conv", [from, `w${i}`], [`conv${i}`], { pads: attr.ints([1, 1, 1, 1]), kernel_shape: attr.ints([3, 3]) }),
      node("BatchNormalization", [`conv${i}`, `scale${i}`, `shift${i}`, `mean${i}`, `var${i}`], [`norm${i}`]),
      node("Sigmoid", [`norm${i}`], [`gate${i}`]),
      node("Mul", [`norm${i}`, `gate${i}`], [`act${i}`]),
    );
    from = `act${i}`;
  }
  nodes.push(node("GlobalAveragePool", [from], ["y"]));
  return model(
    graph({
      inputs: [value("x", "float32", [1, 3, "H", "W"])],
      outputs: [value("y", "float32", [1, 8, 1, 1])],
      weights,
      nodes,
    }),
    { opsets: new Map([["", 17]]) },
  );
};
/** All values that nodes of the main graph make. */
export const inner = (m: Model): string[] => m.graph.nodes.flatMap((n) => n.outputs);

/** total' = total + x. */
export const accumulator = (): Model =>
  model(
    graph({
      inputs: [value("x", "float32", [2]), value("total", "float32", [2])],
      outputs: [value("next", "float32", [2]), value("twice", "float32", [2])],
      weights: new Map([["two", tensor("float32", [], [2])]]),
      nodes: [node("Add", ["x", "total"], ["next"]), node("Mul", ["next", "two"], ["twice"])],
    }),
    { opsets: new Map([["", 17]]) },
  );

/** Adds one to x as often as `times` says, in one Loop: a run as long as one likes. */
export const endless = (): Model =>
  model(
    graph({
      inputs: [value("times", "int64", []), value("x", "float32", [1])],
      outputs: [value("y", "float32", [1])],
      weights: new Map([["yes", tensor("bool", [], [1])]]),
      nodes: [
        node("Loop", ["times", "yes", "x"], ["y"], {
          body: attr.graph(
            graph({
              name: "body",
              inputs: [value("i", "int64", []), value("go", "bool", []), value("v", "float32", [1])],
              outputs: [value("go_on", "bool", []), value("v_next", "float32", [1])],
              weights: new Map([["one", tensor("float32", [1], [1])]]),
              nodes: [node("Identity", ["go"], ["go_on"]), node("Add", ["v", "one"], ["v_next"])],
            }),
          ),
        }),
      ],
    }),
    { opsets: new Map([["", 17]]) },
  );

/** Folders that this process's sessions have for their files. */
export const folders = (): string[] =>
  readdirSync(tmpdir()).filter((f) => new RegExp(`^pare-\\w+-${process.pid}-`).test(f));

/** Child processes of this one that run an engine. */
export function children(): number[] {
  const lines = execFileSync("ps", ["-A", "-o", "pid=,ppid=,args="], { encoding: "utf8" }).split("\n");
  return lines
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line))
    .filter((m) => Number(m?.[2]) === process.pid && m?.[3]?.includes("child.js"))
    .map((m) => Number(m?.[1]));
}
