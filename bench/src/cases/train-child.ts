/** A run of training in a process that may be killed: `train-child.js DATA STORE`. Says each step, and at the end its weights' hash. */
import { createHash } from "node:crypto";
import { type Model, resident, tensor } from "@pare/core";
import { folderStore } from "@pare/io";
import { batchNorm, build, conv2d, dense, dropout, flatten, maxPool, relu, sequential } from "@pare/nn";
import { ort } from "@pare/runtime-ort";
import { adamW, batched, crossEntropy, train } from "@pare/train";
import { batch, fashion } from "../fashion.ts";

const [data, folder] = process.argv.slice(2) as [string, string];
const IMAGES = 1500;

const network = (): Model =>
  build(
    sequential(
      ...[conv2d(8, 5), batchNorm(), relu(), maxPool(2)],
      ...[conv2d(16, 3), relu(), maxPool(2), flatten(), dense(32), relu(), dropout(0.2), dense(10)],
    ),
    { input: [1, 28, 28], inputName: "image", seed: 1 },
  );

async function hashOf(m: Model): Promise<string> {
  const hash = createHash("sha256");
  for (const [name, t] of m.graph.weights) hash.update(name).update((await resident(t)).bytes);
  return hash.digest("hex");
}

const set = await fashion(data, "train");
const { image } = batch(
  set,
  Array.from({ length: IMAGES }, (_, i) => i),
);
const label = tensor(
  "int64",
  [IMAGES],
  BigInt64Array.from({ length: IMAGES }, (_, i) => BigInt(set.labels[i]!)),
);
const { model } = await train(network(), {
  loss: crossEntropy({ output: "logits", target: "label", labelSmoothing: 0.05 }),
  optimizer: adamW(),
  average: 0.95,
  clip: { norm: 2 },
  rate: (step) => 0.002 / (1 + step / 20),
  data: batched({ image: image!, label }, { size: 100, shuffle: 3 }),
  epochs: 3,
  runtime: ort(),
  threads: 1,
  checkpoint: { store: folderStore(folder), key: "resume", every: 4 },
  onProgress: ({ step }) => process.stdout.write(`step ${step}\n`),
});
process.stdout.write(`done ${await hashOf(model)}\n`);
