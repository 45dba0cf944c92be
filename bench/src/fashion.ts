import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { dataOf, type ResidentTensor, type Samples, type Session, samplesFrom, tensor, type Values } from "@pare/core";
import { openSource, readIdx } from "@pare/io";
import { seeded } from "@pare/ops/numeric";

/** Images of clothes of 28 by 28 grey pixels, and the numbers of their classes. (Xiao et al. 2017, arXiv:1708.07747.) */
export interface Fashion {
  readonly images: Uint8Array;
  readonly labels: Uint8Array;
}

const PIXELS = 28 * 28;

export async function fashion(data: string, part: "train" | "t10k"): Promise<Fashion> {
  const read = async (file: string) => {
    const source = await openSource(join(data, "data", "fashion-mnist", `${part}-${file}-ubyte.gz`));
    try {
      return dataOf((await readIdx(source)) as ResidentTensor<"uint8">) as Uint8Array;
    } finally {
      await source.close();
    }
  };
  return { images: await read("images-idx3"), labels: await read("labels-idx1") };
}

/** The images at `indices` as the networks take them, `[N, 1, 28, 28]` from 0 to 1. */
export function batch({ images }: Fashion, indices: readonly number[], input = "image"): Values {
  const pixels = new Float32Array(indices.length * PIXELS);
  indices.forEach((index, i) => {
    for (let k = 0; k < PIXELS; k++) pixels[i * PIXELS + k] = images[index * PIXELS + k]! / 255;
  });
  return { [input]: tensor("float32", [indices.length, 1, 28, 28], pixels) };
}

/** A seeded choice of single images. */
export function someImages(set: Fashion, count: number, seed: number): Samples {
  const random = seeded(seed);
  const indices = Array.from({ length: count }, () => Math.floor(random() * set.labels.length));
  return samplesFrom(indices.map((i) => batch(set, [i])));
}

const BATCH = 250;

/** Percent of images whose largest logit is at their class. */
export async function accuracy(session: Session, set: Fashion, signal: AbortSignal, count = set.labels.length) {
  let right = 0;
  for (let from = 0; from < count; from += BATCH) {
    const indices = Array.from({ length: Math.min(BATCH, count - from) }, (_, i) => from + i);
    const outputs = await session.run(batch(set, indices, session.inputs[0]!.name), { signal });
    const logits = dataOf(Object.values(outputs)[0] as ResidentTensor<"float32">) as Float32Array;
    const classes = logits.length / indices.length;
    indices.forEach((index, i) => {
      const row = logits.subarray(i * classes, (i + 1) * classes);
      if (row.indexOf(Math.max(...row)) === set.labels[index]) right++;
    });
  }
  return (100 * right) / count;
}

/** All `models/*.onnx`. */
export async function networks(data: string): Promise<{ name: string; file: string }[]> {
  const folder = join(data, "models");
  const files = (await readdir(folder)).filter((f) => f.endsWith(".onnx")).sort();
  return files.map((f) => ({ name: basename(f, ".onnx"), file: join(folder, f) }));
}
