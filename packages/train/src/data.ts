/** What a network learns from, in batches. */
import { failure, type Samples, type Values } from "@pare/core";
import { permutation, seeded } from "@pare/ops/numeric";
import { joinRows, takeRows } from "./rows.ts";

/** Batches that can be opened again: the same ones in the same order for the same epoch. */
export interface Dataset {
  /** Batches of an epoch, where that is known. */
  readonly batches?: number | undefined;
  open(epoch: number, signal?: AbortSignal): AsyncIterable<Values> | Iterable<Values>;
}

/** Changes a batch: crops, flips, noise. `random` gives numbers from 0 to 1 that epoch and batch decide. */
export type Augment = (batch: Values, random: () => number) => Values | Promise<Values>;

export interface BatchOptions {
  /** Samples in a batch. */
  readonly size: number;
  /** Decides the order of each epoch; `false` keeps the order of the samples. Default 0. */
  readonly shuffle?: number | false;
  readonly augment?: Augment;
  /** Whether samples at the end that fill no batch make a smaller one. Default: they are left out of the epoch. */
  readonly partial?: boolean;
}

const batchRandom = (seed: number | false | undefined, epoch: number, batch: number) =>
  seeded(Math.imul((seed || 0) + 1, 0x9e3779b1) ^ Math.imul(epoch + 1, 0x85ebca6b) ^ Math.imul(batch + 1, 0xc2b2ae35));

/**
 * Batches of samples in memory: each tensor is [samples, …].
 * @throws PareError `train/data`
 * @example batched({ image, label }, { size: 256, shuffle: 1 })
 */
export function batched(samples: Values, options: BatchOptions): Dataset {
  const { size, shuffle = 0, augment, partial = false } = options;
  const entries = Object.entries(samples);
  const counts = new Set(entries.map(([, t]) => t.shape[0]));
  const [count] = counts;
  if (counts.size !== 1 || count === undefined)
    throw failure("train/data", "the tensors have not as many samples each", {
      hint: entries.map(([name, t]) => `${name}: [${t.shape}]`).join(", "),
    });
  checkSize(size, partial ? 0 : count);
  const batches = partial ? Math.ceil(count / size) : Math.floor(count / size);
  return {
    batches,
    async *open(epoch, signal) {
      const order = shuffle === false ? undefined : permutation(count, batchRandom(shuffle, epoch, -1));
      for (let batch = 0; batch < batches; batch++) {
        signal?.throwIfAborted();
        const from = batch * size;
        const length = Math.min(size, count - from);
        const rows = Array.from({ length }, (_, i) => (order ? order[from + i]! : from + i));
        const values = Object.fromEntries(entries.map(([name, t]) => [name, takeRows(t, rows)]));
        yield augment ? await augment(values, batchRandom(shuffle, epoch, batch)) : values;
      }
    },
  };
}

function checkSize(size: number, count: number): void {
  if (!Number.isInteger(size) || size < 1) throw failure("train/data", `a batch has at least one sample, not ${size}`);
  if (size > count && count > 0)
    throw failure("train/data", `a batch of ${size} needs more than the ${count} samples that there are`);
}

export interface StreamOptions extends BatchOptions {
  /** Samples that are held at once, from which the next is drawn. Default 1,024. */
  readonly buffer?: number;
}

/**
 * Batches of samples that come one by one, each [1, …], shuffled within a buffer.
 * @throws PareError `train/data`
 */
export function streamed(samples: Samples, options: StreamOptions): Dataset {
  const { size, shuffle = 0, augment, partial = false, buffer = 1024 } = options;
  checkSize(size, 0);
  const { count } = samples;
  return {
    batches: count === undefined ? undefined : partial ? Math.ceil(count / size) : Math.floor(count / size),
    async *open(epoch, signal) {
      const random = batchRandom(shuffle, epoch, -1);
      const source = shuffle === false ? samples.open(signal) : shuffled(samples.open(signal), buffer, random);
      let held: Values[] = [];
      let batch = 0;
      const next = async () => {
        const values = joinRows(held);
        held = [];
        return augment ? augment(values, batchRandom(shuffle, epoch, batch++)) : values;
      };
      for await (const sample of source) {
        held.push(sample);
        if (held.length === size) yield await next();
      }
      if (partial && held.length > 0) yield await next();
    },
  };
}

/** Draws from a buffer that is filled as it empties. */
async function* shuffled(source: AsyncIterable<Values> | Iterable<Values>, size: number, random: () => number) {
  const buffer: Values[] = [];
  for await (const sample of source) {
    if (buffer.length < size) {
      buffer.push(sample);
      continue;
    }
    const at = Math.floor(random() * size);
    yield buffer[at]!;
    buffer[at] = sample;
  }
  for (const at of permutation(buffer.length, random)) yield buffer[at]!;
}
