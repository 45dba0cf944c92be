import { dataOf, type Model, type ResidentTensor, type Store, tensor, type Values } from "@pare/core";
import { ort } from "@pare/runtime-ort";
import { type Augment, cosineRate, type Dataset, type Loss, sgd, type TrainOptions, train, warmUp } from "@pare/train";
import { accuracy, type Fashion } from "./fashion.ts";

const SIDE = 28;
const PIXELS = SIDE * SIDE;

/** All images as bytes `[N, 1, 28, 28]`, and their classes. */
export const samplesOf = ({ images, labels }: Fashion, count = labels.length): Values => ({
  image: tensor("uint8", [count, 1, SIDE, SIDE], images.subarray(0, count * PIXELS)),
  label: tensor("int64", [count], BigInt64Array.from(labels.subarray(0, count), BigInt)),
});

/** Pixels from 0 to 1. */
export const scaled: Augment = (values) => moved(values, () => [0, 0, false]);

/** Half of the images mirrored. */
export const flipped: Augment = (values, random) => moved(values, () => [0, 0, random() < 0.5]);

/** Half of the images mirrored, and each moved by at most one pixel. */
export const flippedAndShifted: Augment = (values, random) =>
  moved(values, () => [Math.floor(random() * 3) - 1, Math.floor(random() * 3) - 1, random() < 0.5]);

type Move = readonly [down: number, right: number, mirrored: boolean];

function moved({ image, ...rest }: Values, next: () => Move): Values {
  const from = dataOf(image as ResidentTensor<"uint8">);
  const to = new Float32Array(from.length);
  for (let start = 0; start < from.length; start += PIXELS) {
    const [down, right, mirrored] = next();
    for (let y = 0; y < SIDE; y++) {
      const row = y - down;
      if (row < 0 || row >= SIDE) continue;
      for (let x = 0; x < SIDE; x++) {
        const column = mirrored ? SIDE - 1 - (x - right) : x - right;
        if (column >= 0 && column < SIDE) to[start + y * SIDE + x] = from[start + row * SIDE + column]! / 255;
      }
    }
  }
  return { image: tensor("float32", image!.shape, to), ...rest };
}

export const BATCH = 128;

export interface Recipe {
  readonly loss: Loss;
  readonly data: Dataset;
  readonly epochs: number;
  /** Largest learning rate. Default 0.05. */
  readonly rate?: number;
  readonly store: Store;
  /** Name of the run: one that was killed goes on from where it was. */
  readonly key: string;
  readonly progress: (text: string) => void;
  readonly signal: AbortSignal;
}

/** SGD with Nesterov's momentum, weight decay of matrices and filters, and a rate that warms up and falls as a cosine. */
export function recipe({ loss, data, epochs, rate = 0.05, store, key, progress, signal }: Recipe): TrainOptions {
  const steps = data.batches! * epochs;
  const begin = Math.min(200, Math.ceil(steps / 10));
  return {
    loss,
    data,
    epochs,
    signal,
    runtime: ort(),
    // Other work on the machine then costs little, and the same sums come out on any.
    threads: 1,
    optimizer: sgd({ momentum: 0.9, nesterov: true, weightDecay: 5e-4 }),
    groups: [{ include: ["*/bias", "*/scale"], optimizer: sgd({ momentum: 0.9, nesterov: true }) }],
    rate: warmUp({ steps: begin, after: cosineRate({ rate, steps: steps - begin }) }),
    checkpoint: { store, key, every: 200 },
    onProgress({ step, steps, loss, msLeft = 0 }) {
      if (step % 200 === 0)
        progress(`${key}: ${step} of ${steps}, loss ${loss.toFixed(3)}, ${Math.round(msLeft / 1000)} s left`);
    },
  };
}

export const trained = async (network: Model, options: Recipe): Promise<Model> =>
  (await train(network, recipe(options))).model;

/** Percent of test images whose class the model finds. */
export async function accuracyOf(model: Model, test: Fashion, signal: AbortSignal, count?: number): Promise<number> {
  const session = await ort().prepare(model, { threads: 1, signal });
  try {
    return await accuracy(session, test, signal, count);
  } finally {
    await session.close();
  }
}
