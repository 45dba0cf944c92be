import { type Runtime, resident, tensor } from "@pare/core";
import { build, type Layer, lenetCaffe, resnet8, vitSmall } from "@pare/nn";
import { numbersOf } from "@pare/ops/numeric";
import { ort } from "@pare/runtime-ort";
import { adam, crossEntropy, trainingStep } from "@pare/train";
import { expect, test } from "vitest";
import { tfjs } from "./index.node.ts";

const image = tensor(
  "float32",
  [2, 1, 28, 28],
  Float32Array.from({ length: 1568 }, (_, i) => Math.abs(Math.sin(12.9898 * i) * 43758.5453) % 1),
);
const label = tensor("int64", [2], [3, 7]);

/** Losses of three steps whose state stays with the engine. */
async function losses(runtime: Runtime, make: () => Layer): Promise<number[]> {
  const network = build(make(), { input: [1, 28, 28], inputName: "image", seed: 1 });
  const loss = crossEntropy({ output: network.graph.outputs[0]!.name, target: "label" });
  const step = trainingStep(network, { loss, optimizer: adam(), batch: { image, label } });
  const initialState = Object.fromEntries(
    await Promise.all([...step.initial].map(async ([name, t]) => [name, await resident(t)] as const)),
  );
  const session = await runtime.prepare(step.model, { state: step.state, initialState });
  const found: number[] = [];
  for (let i = 1; i <= 3; i++) {
    const feeds = { image, label, [step.rate]: tensor("float32", [], [1e-3]), [step.step]: tensor("float32", [], [i]) };
    const results = await session.run(feeds, { outputs: [step.loss] });
    found.push(numbersOf(results[step.loss]!)[0]!);
  }
  await session.close();
  return found;
}

test.each([
  ["LeNet-5", lenetCaffe],
  ["ResNet-8", resnet8],
  ["a small ViT", vitSmall],
] as const)(
  "three steps of training of %s are those of ONNX Runtime",
  async (_, make) => {
    const expected = await losses(ort({ isolate: false, threads: 1 }), make);
    const found = await losses(tfjs({ backend: "wasm" }), make);
    expect(found[2]).toBeLessThan(found[0]!);
    found.forEach((v, i) => void expect(Math.abs(v - expected[i]!)).toBeLessThan(1e-4 * (1 + expected[i]!)));
  },
  60_000,
);
