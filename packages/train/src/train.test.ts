import {
  dataOf,
  type Model,
  memorySource,
  type ResidentTensor,
  type Store,
  samplesFrom,
  tensor,
  type Values,
} from "@pare/core";
import { parse } from "@pare/core/parse";
import { seeded } from "@pare/ops/numeric";
import { ort } from "@pare/runtime-ort";
import { describe, expect, test } from "vitest";
import { batched, type Dataset, streamed } from "./data.ts";
import { crossEntropy } from "./losses.ts";
import { adam, sgd } from "./optimizers.ts";
import { isDiverged, type TrainingProgress, type TrainOptions, train } from "./train.ts";

const runtime = ort({ isolate: false });
const random = seeded(4);
const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
const f32 = (shape: readonly number[], make: (i: number) => number) =>
  tensor(
    "float32",
    shape,
    Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => make(i)),
  );

/** Two rings, which no line parts. */
const count = 240;
const angles = Array.from({ length: count }, () => 2 * Math.PI * random());
const point = tensor(
  "float32",
  [count, 2],
  Float32Array.from(
    angles.flatMap((a, i) => [Math.cos(a), Math.sin(a)].map((v) => v * (1 + (i % 2)) + 0.1 * normal())),
  ),
);
const label = tensor(
  "int64",
  [count],
  BigInt64Array.from({ length: count }, (_, i) => BigInt(i % 2)),
);

const network = (): Model =>
  parse(
    `main (point: float32[N,2]) => (logits: float32[N,2]) {
      a: float32[2,16] = …  b: float32[16] = …  c: float32[16,2] = …  d: float32[2] = {0, 0}
      h = Gemm(point, a, b)  n = LayerNormalization(h, s, z)  r = Relu(n)  logits = Gemm(r, c, d)
      s: float32[16] = …  z: float32[16] = …
    }`,
    {
      weights: {
        a: f32([2, 16], (i) => Math.sin(3 * i + 1)),
        b: f32([16], (i) => 0.3 * Math.cos(i)),
        c: f32([16, 2], (i) => 0.3 * Math.sin(7 * i)),
        s: f32([16], () => 1),
        z: f32([16], () => 0),
      },
    },
  );

const options = (more: Partial<TrainOptions> = {}): TrainOptions => ({
  loss: crossEntropy({ output: "logits", target: "label" }),
  optimizer: adam(),
  rate: 0.02,
  data: batched({ point, label }, { size: 40, shuffle: 1 }),
  epochs: 12,
  runtime,
  ...more,
});

async function accuracy(m: Model): Promise<number> {
  const session = await runtime.prepare(m);
  const { logits } = await session.run({ point });
  await session.close();
  const values = dataOf(logits as ResidentTensor<"float32">);
  let right = 0;
  for (let i = 0; i < count; i++) if (values[2 * i + 1]! > values[2 * i]! === (i % 2 === 1)) right++;
  return right / count;
}

const bytes = (m: Model) => [...m.graph.weights].map(([name, t]) => `${name} ${(t as ResidentTensor).bytes}`);

function memoryStore(): Store & { readonly puts: () => number } {
  const held = new Map<string, Uint8Array>();
  let puts = 0;
  return {
    puts: () => puts,
    get: async (key) => (held.has(key) ? memorySource(held.get(key)!) : undefined),
    async put(key, parts) {
      const all: Uint8Array[] = [];
      for await (const p of parts) all.push(p);
      puts++;
      held.set(key, new Uint8Array(Buffer.concat(all)));
    },
  };
}

describe("train", () => {
  test("learns, and learns the same again", async () => {
    const seen: TrainingProgress[] = [];
    const measured: number[] = [];
    const evaluate = async (m: Model) => {
      const right = await accuracy(m);
      measured.push(right);
      return { right };
    };
    const before = await accuracy(network());
    const first = await train(network(), options({ evaluate, onProgress: (p) => void seen.push(p) }));
    expect(before).toBeLessThan(0.8);
    expect(await accuracy(first.model)).toBeGreaterThan(0.97);
    expect(seen.map((p) => p.step)).toEqual(Array.from({ length: 72 }, (_, i) => i + 1));
    expect(seen.every((p) => p.steps === 72 && p.msLeft! >= 0 && p.norm > 0)).toBe(true);
    expect(first.history.map((h) => h.metrics!["right"])).toEqual(measured);
    expect(first.history[11]!.loss).toBeLessThan(first.history[0]!.loss / 3);
    const second = await train(network(), options());
    expect(bytes(second.model)).toEqual(bytes(first.model));
  });

  test("goes on from a checkpoint as if it had not stopped, wherever it was stopped", async () => {
    const whole = await train(network(), options({ epochs: 3 }));
    for (const at of [1, 4, 6, 9, 17]) {
      const store = memoryStore();
      const checkpoint = { store, key: "run", every: 2 };
      const abort = new AbortController();
      const stopped = train(
        network(),
        options({
          epochs: 3,
          checkpoint,
          signal: abort.signal,
          onProgress: (p) => p.step === at && abort.abort(new Error("stopped")),
        }),
      );
      await expect(stopped).rejects.toThrow("stopped");
      const steps: number[] = [];
      const resumed = await train(
        network(),
        options({ epochs: 3, checkpoint, unroll: (at % 3) + 1, onProgress: (p) => void steps.push(p.step) }),
      );
      expect(bytes(resumed.model)).toEqual(bytes(whole.model));
      expect(steps[0]).toBeLessThanOrEqual(at + 1);
      expect(steps.length).toBeLessThanOrEqual(18 - Math.floor(at / 2) * 2);
      // A run that is over has nothing to do.
      const again = await train(network(), options({ epochs: 3, checkpoint, onProgress: () => expect.unreachable() }));
      expect(bytes(again.model)).toEqual(bytes(whole.model));
    }
  });

  test("refuses the checkpoint of another training, and one that is damaged", async () => {
    const store = memoryStore();
    const checkpoint = { store, key: "run" };
    await train(network(), options({ epochs: 1, checkpoint }));
    await expect(train(network(), options({ epochs: 1, checkpoint, optimizer: sgd() }))).rejects.toThrow(
      /of another training/,
    );
    for (const [text, why] of [
      ["", /ends too early/],
      ["\u0002\0\0\0\0\0\0\0{]", /no JSON/],
      ["\u0002\0\0\0\0\0\0\0{}", /version/],
    ] as const) {
      await store.put("run", [new TextEncoder().encode(text)]);
      await expect(train(network(), options({ epochs: 1, checkpoint }))).rejects.toThrow(why);
    }
  });

  test.each([2, 4, 7])("%i steps in a run are to the bit what they are one by one", async (unroll) => {
    const seen: TrainingProgress[] = [];
    const losses: number[] = [];
    const one = await train(network(), options({ epochs: 2, onProgress: (p) => void losses.push(p.loss) }));
    const more = await train(network(), options({ epochs: 2, unroll, onProgress: (p) => void seen.push(p) }));
    expect(bytes(more.model)).toEqual(bytes(one.model));
    expect(seen.map((p) => p.loss)).toEqual(losses);
    expect(seen.map((p) => p.step)).toEqual(losses.map((_, i) => i + 1));
    expect(more.history).toEqual(one.history);
  });

  test.each([1, 2, 3])(
    "stops where the loss is no number, and keeps the state before it, %i steps in a run",
    async (unroll) => {
      const poisoned: Dataset = {
        batches: 6,
        async *open(epoch) {
          let i = 0;
          for await (const b of batched({ point, label }, { size: 40, shuffle: 1 }).open(epoch))
            yield i++ === 4 ? { ...b, point: f32([40, 2], () => Number.NaN) } : b;
        },
      };
      const clean = { batches: 4, open: (epoch: number) => firstFour(epoch) };
      async function* firstFour(epoch: number) {
        let i = 0;
        for await (const b of poisoned.open(epoch)) if (i++ < 4) yield b;
      }
      const store = memoryStore();
      const failed = await train(
        network(),
        options({ epochs: 1, data: poisoned, unroll, checkpoint: { store, key: "run" } }),
      ).catch((e) => e);
      expect(failed).toEqual(expect.objectContaining({ code: "train/diverged" }));
      expect(isDiverged(failed) && failed.trained.steps).toBe(4);
      const good = await train(network(), options({ epochs: 1, data: clean }));
      expect(bytes(failed.trained.model)).toEqual(bytes(good.model));
      expect(store.puts()).toBe(1);
    },
  );

  test("runs in a process of its own", async () => {
    const inside = await train(network(), options({ epochs: 1, threads: 1 }));
    const outside = await train(network(), options({ epochs: 1, threads: 1, runtime: ort() }));
    expect(bytes(outside.model)).toEqual(bytes(inside.model));
  });

  test("says what is wrong with its data", async () => {
    const empty: Dataset = { open: () => [] };
    await expect(train(network(), options({ data: empty }))).rejects.toThrow(/train\/data: the dataset has no batch/);
    const short: Dataset = { batches: 5, open: (e) => batched({ point, label }, { size: 60 }).open(e) };
    await expect(train(network(), options({ data: short, epochs: 1 }))).rejects.toThrow(
      /has 4 batches where the dataset says 5/,
    );
    for (const wrong of [{ epochs: 0 }, { unroll: 0 }, { unroll: 1.5 }])
      await expect(train(network(), options(wrong))).rejects.toThrow(/train\/options/);
  });
});

describe("datasets", () => {
  const values = tensor(
    "int32",
    [10],
    Array.from({ length: 10 }, (_, i) => i),
  );
  const read = async (d: Dataset, epoch: number) => {
    const all: number[][] = [];
    for await (const b of d.open(epoch)) all.push([...dataOf(b["v"] as ResidentTensor<"int32">)]);
    return all;
  };
  const single = samplesFrom(Array.from({ length: 10 }, (_, i): Values => ({ v: tensor("int32", [1], [i]) })));

  test.each([
    ["in memory", (o: object) => batched({ v: values }, { size: 4, shuffle: 2, ...o })],
    ["in a stream", (o: object) => streamed(single, { size: 4, shuffle: 2, buffer: 3, ...o })],
  ])("%s: each epoch has an order of its own, the same when it is opened again", async (_, make) => {
    const d = make({ partial: true });
    const [one, again, two] = [await read(d, 0), await read(d, 0), await read(d, 1)];
    expect(one).toEqual(again);
    expect(one).not.toEqual(two);
    expect(one.map((b) => b.length)).toEqual([4, 4, 2]);
    expect(one.flat().sort((a, b) => a - b)).toEqual([...Array(10).keys()]);
    expect([d.batches, make({}).batches, (await read(make({}), 0)).length]).toEqual([3, 2, 2]);
    expect((await read(make({ shuffle: false }), 0)).flat()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  test("augmentation has random numbers of its batch", async () => {
    const draws: number[] = [];
    const d = batched({ v: values }, { size: 5, augment: (b, r) => (draws.push(r()), b) });
    await read(d, 0);
    await read(d, 0);
    await read(d, 1);
    expect(draws.slice(0, 2)).toEqual(draws.slice(2, 4));
    expect(new Set(draws).size).toBe(4);
  });

  test("refuse what is no batch", async () => {
    expect(() => batched({ v: values, w: tensor("int32", [3], [1, 2, 3]) }, { size: 2 })).toThrow(/train\/data/);
    expect(() => batched({ v: values }, { size: 0 })).toThrow(/train\/data/);
    expect(() => batched({ v: values }, { size: 11 })).toThrow(/train\/data/);
    const odd = samplesFrom([{ v: tensor("int32", [1, 2], [1, 2]) }, { v: tensor("int32", [1, 3], [1, 2, 3]) }]);
    await expect(read(streamed(odd, { size: 2 }), 0)).rejects.toThrow(/differ in type or size/);
  });
});
