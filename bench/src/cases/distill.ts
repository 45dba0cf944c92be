import { tmpdir } from "node:os";
import { join } from "node:path";
import { elementCount, type Model, tensor } from "@pare/core";
import { distillationLoss, softLabels, student, trainStudent } from "@pare/distill";
import { folderStore, memoryStore } from "@pare/io";
import { ort } from "@pare/runtime-ort";
import { type Augment, batched, crossEntropy, type Loss, parametersOf } from "@pare/train";
import type { BenchCase, Benchmark } from "../benchmark.ts";
import { teacherNetwork } from "../distill-networks.ts";
import { fashion } from "../fashion.ts";
import {
  accuracyOf,
  BATCH,
  flipped,
  flippedAndShifted,
  recipe,
  samplesOf,
  scaled,
  trained,
} from "../fashion-training.ts";

interface Size {
  readonly images: number;
  /** Images that have labels where only few have. */
  readonly few: number;
  /** Images that are measured on. */
  readonly test: number;
  readonly seeds: readonly number[];
  readonly teacherEpochs: number;
  readonly secondEpochs: number;
  readonly epochs: number;
  /** Over the few images alone. */
  readonly fewEpochs: number;
}

const whole: Size = {
  images: 60000,
  few: 1000,
  test: 10000,
  seeds: [1, 2, 3],
  teacherEpochs: 10,
  secondEpochs: 4,
  epochs: 6,
  fewEpochs: 150,
};
const part: Size = {
  images: 2048,
  few: 128,
  test: 2000,
  seeds: [1],
  teacherEpochs: 3,
  secondEpochs: 1,
  epochs: 6,
  fewEpochs: 30,
};

/** As the recorded run of PyTorch has them. */
const [ALPHA, TEMPERATURE] = [0.7, 4];
const WIDTH = 0.21;

/**
 * Fashion-MNIST: a teacher in the manner of VGG, and a student of the same graph with 0.21 of its channels, trained from its
 * labels and from the teacher. Runs go on from their checkpoints.
 */
export const distill: Benchmark = {
  name: "distill",
  about: "a teacher, and a student of 1/20 of its parameters alone and distilled, with all labels and with few",
  async run(ctx) {
    const size = ctx.full ? whole : part;
    const folder = ctx.keep ?? (ctx.full ? join(tmpdir(), "pare-distill") : undefined);
    const store = folder === undefined ? memoryStore() : folderStore(folder);
    const [set, test] = [await fashion(ctx.data, "train"), await fashion(ctx.data, "t10k")];
    const { signal, progress } = ctx;
    const labelled = (count: number) => samplesOf(set, count);
    const crossEntropyOf = (label: string) => crossEntropy({ output: "logits", target: label });
    const common = { store, progress, signal };

    const learn = (from: Model, key: string, epochs: number, augment: Augment, rate?: number) =>
      trained(from, {
        ...common,
        loss: crossEntropyOf("label"),
        data: batched(labelled(size.images), { size: BATCH, shuffle: 1, augment }),
        epochs,
        key,
        ...(rate !== undefined && { rate }),
      });
    // A second, shorter cosine, without shifts: test images are not shifted either. (Loshchilov & Hutter 2017.)
    const first = await learn(teacherNetwork(1), "teacher", size.teacherEpochs, flippedAndShifted);
    const teacher = await learn(first, "teacher, second cycle", size.secondEpochs, flipped, 0.03);
    const teacherAccuracy = await accuracyOf(teacher, test, signal, size.test);
    progress(`teacher: ${teacherAccuracy} %`);

    const { image, label } = await scaled(labelled(size.images), () => 0);
    const few = tensor(
      "int64",
      [size.images],
      BigInt64Array.from(set.labels.subarray(0, size.images), (c, i) => BigInt(i < size.few ? c : -1)),
    );
    const taught = await softLabels(
      { image: image! },
      { teacher, values: ["logits"], runtime: ort(), threads: 1, size: BATCH, store, signal },
    );
    const cases: BenchCase[] = [];
    for (const seed of size.seeds) {
      const start = await student(teacherNetwork(1), { width: WIDTH, weights: "new", seed });
      const shuffled = { size: BATCH, shuffle: seed };
      const measured = async (name: string, made: Promise<Model>) => {
        const accuracy = await accuracyOf(await made, test, signal, size.test);
        progress(`${name}, seed ${seed}: ${accuracy} %`);
        return accuracy;
      };
      const alone = (name: string, loss: Loss, epochs: number, count = size.images) =>
        measured(
          name,
          trained(start, {
            ...common,
            loss,
            epochs,
            key: `${name}-${seed}`,
            data:
              count === size.images
                ? batched({ image: image!, label: label! }, shuffled)
                : batched(labelled(count), { ...shuffled, augment: flippedAndShifted }),
          }),
        );
      const distilled = async (name: string, target: string, labels: NonNullable<typeof label>) => {
        const loss = distillationLoss({ label: target, alpha: ALPHA, temperature: TEMPERATURE });
        const data = batched({ ...taught, [target]: labels }, shuffled);
        const options = recipe({ ...common, loss, data, epochs: size.epochs, key: `${name}-${seed}` });
        return measured(
          name,
          trainStudent(start, options).then((t) => t.model),
        );
      };
      cases.push({
        name: `seed ${seed}`,
        parameters: parameters(start),
        alone: await alone("alone", crossEntropyOf("label"), size.epochs),
        distilled: await distilled("distilled", "label", label!),
        aloneFewLabels: await alone("aloneFewLabels", crossEntropyOf("label"), size.fewEpochs, size.few),
        distilledFewLabels: await distilled("distilledFewLabels", "few", few),
      });
    }
    return {
      figures: {
        teacher: teacherAccuracy,
        share: parameters(teacher) / Number(cases[0]!["parameters"]),
        ...summary(cases),
      } as Record<string, number>,
      cases,
      notes: [
        `Teacher: ${parameters(teacher)} parameters. PyTorch with a student of 1/8: teacher 93.63, alone 90.94 to 91.03, distilled 90.99 to 91.25.`,
        ...(folder === undefined ? [] : [`Checkpoints are in ${folder}.`]),
      ],
    };
  },
};

const parameters = (m: Model): number => parametersOf(m).reduce((n, w) => n + elementCount(w.tensor.shape), 0);

/** Means over seeds, spreads (largest less smallest), and what distillation gains in the mean and at least. */
function summary(cases: readonly BenchCase[]): Record<string, number> {
  const of = (name: string) => cases.map((c) => Number(c[name]));
  const mean = (v: readonly number[]) => Math.round((1000 * v.reduce((a, b) => a + b, 0)) / v.length) / 1000;
  const spread = (v: readonly number[]) => Math.round(1000 * (Math.max(...v) - Math.min(...v))) / 1000;
  const gains = (from: string, to: string) => of(to).map((v, i) => v - of(from)[i]!);
  const names = ["alone", "distilled", "aloneFewLabels", "distilledFewLabels"];
  const gain = mean(gains("alone", "distilled"));
  return {
    ...Object.fromEntries(names.map((n) => [n, mean(of(n))])),
    ...Object.fromEntries(names.map((n) => [`${n}Spread`, spread(of(n))])),
    gain,
    gainExceedsSpread: Number(gain > Math.max(spread(of("alone")), spread(of("distilled")))),
    leastGainFewLabels: Math.round(1000 * Math.min(...gains("aloneFewLabels", "distilledFewLabels"))) / 1000,
  };
}
