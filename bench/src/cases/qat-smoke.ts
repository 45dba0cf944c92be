import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Model, run } from "@pare/core";
import { openOnnx, writeOnnx } from "@pare/onnx";
import { optimize } from "@pare/optimize";
import { blockWeights } from "@pare/quantize";
import { ort } from "@pare/runtime-ort";
import { adam, batched, cosineRate, crossEntropy, train } from "@pare/train";
import type { BenchCase, Benchmark } from "../benchmark.ts";
import { withCodes, withRounding } from "../fake-quantize.ts";
import { accuracy, fashion } from "../fashion.ts";
import { BATCH, flipped, samplesOf } from "../fashion-training.ts";

const EPOCHS = 2;

/** ResNet-8 with weights of 4 bits: rounded after training, and trained on with the rounding in the graph. */
export const qatSmoke: Benchmark = {
  name: "qat-smoke",
  about: "int4 weights of ResNet-8 on Fashion-MNIST: post-training against two epochs of straight-through training",
  async run({ data, quick, progress, signal }) {
    const [set, test] = [await fashion(data, "train"), await fashion(data, "t10k")];
    const source = await openOnnx(join(data, "models", "resnet8.onnx"), { signal });
    const folder = await mkdtemp(join(tmpdir(), "pare-qat-"));
    const cases: BenchCase[] = [];
    try {
      const { model: network } = await run(optimize(), source.model, { signal });
      /** Accuracy of what is written, and its size. */
      const measured = async (name: string, model: Model) => {
        const file = join(folder, `${cases.length}.onnx`);
        await writeOnnx(model, file, { signal });
        const session = await ort().prepareFile!(file, { threads: 1, signal });
        try {
          const percent = await accuracy(session, test, signal);
          cases.push({ name, accuracy: percent, bytes: (await stat(file)).size });
          progress(`${name}: ${percent} %`);
          return percent;
        } finally {
          await session.close();
        }
      };
      const float = await measured("float32", network);
      const inBlocks = async (blockSize: 16 | 64) =>
        (await run(blockWeights({ blockSize, ops: ["Conv", "Gemm", "MatMul"] }), network, { signal })).model;
      const fine = await measured("int4, blocks of 16", await inBlocks(16));
      const blocks = await inBlocks(64);
      const postTraining = await measured("int4, blocks of 64", blocks);
      const rounded = withRounding(blocks, network);
      const dataset = batched(samplesOf(set, quick ? 2560 : undefined), { size: BATCH, shuffle: 1, augment: flipped });
      const steps = dataset.batches! * EPOCHS;
      const { model } = await train(rounded, {
        loss: crossEntropy({ output: network.graph.outputs[0]!.name, target: "label" }),
        optimizer: adam(),
        rate: cosineRate({ rate: 5e-4, steps }),
        data: dataset,
        epochs: EPOCHS,
        runtime: ort(),
        threads: 1,
        signal,
        onProgress: ({ step, loss }) => step % 100 === 0 && progress(`${step} of ${steps}: loss ${loss.toFixed(3)}`),
      });
      const trained = await measured("int4, blocks of 64, trained", await withCodes(model, signal));
      return {
        figures: { float, postTraining, trained, gain: round(trained - postTraining), postTrainingBlocksOf16: fine },
        cases,
        notes: [
          "Trained from the codes and scales of blocks of 64 (along input channels, for each filter and place of the kernel); the trained file has the same format.",
        ],
      };
    } finally {
      await source.close();
      await rm(folder, { recursive: true, force: true });
    }
  },
};

const round = (v: number) => Math.round(100 * v) / 100;
