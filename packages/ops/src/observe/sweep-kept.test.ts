import { memorySource, type Samples, type Store, samplesFrom, tensor, type Values } from "@pare/core";
import { parse } from "@pare/core/parse";
import { expect, test, vi } from "vitest";
import { evaluate } from "../evaluate.ts";
import { gather, type Reuse } from "../observe.ts";

function memory(): Store {
  const entries = new Map<string, Uint8Array>();
  return {
    get: async (key) => (entries.has(key) ? memorySource(entries.get(key)!) : undefined),
    async put(key, bytes) {
      const parts: Uint8Array[] = [];
      for await (const part of bytes) parts.push(part);
      entries.set(key, Buffer.concat(parts));
    },
  };
}
const network = (weight: number) =>
  parse("main (x: float32[2,3]) => (y: float32[2,3]) { w: float32[1] = …  h = Mul(x, w)  y = Relu(h) }", {
    weights: { w: tensor("float32", [1], [weight]) },
  });
let runs = 0;
const engine = (version = "1") => ({
  name: "evaluator",
  version: async () => version,
  prepare: async (m: ReturnType<typeof network>) => ({
    inputs: [],
    outputs: [],
    run: async (inputs: Values, options?: { outputs?: readonly string[] }) => {
      runs++;
      return evaluate(m, inputs, options ?? {});
    },
    close: async () => {},
  }),
});
const numbers = (i: number): Values => ({
  x: tensor(
    "float32",
    [2, 3],
    Array.from({ length: 6 }, (_, k) => Math.sin(7 * i + k) * 2 ** (i % 5)),
  ),
});
const some = (count: number, first = 0): Samples =>
  samplesFrom(Array.from({ length: count }, (_, i) => numbers(first + i)));
const statistics = ["min-max", "average-min-max", "absmax", "mean-square", "channel-mean@1", "gram@1", "histogram"];
const all = statistics.map((statistic) => ({ values: ["h", "y"], statistic }));

async function ask(store: Store | undefined, model = network(2), samples = some(9), wishes = all, runtime = engine()) {
  runs = 0;
  let reuse: Reuse | undefined;
  const host = { runtime, samples, ...(store ? { store } : {}) };
  const found = await gather(model, wishes, host, undefined, (r) => {
    reuse = r;
  });
  return { found, runs, reuse: reuse! };
}

test("what was gathered is found again by content, and is what it was", async () => {
  const store = memory();
  const plain = await ask(undefined);
  const first = await ask(store);
  const second = await ask(store, network(2), some(9));
  expect(first.runs).toBe(9);
  expect(first.reuse).toMatchObject({ asked: 14, reused: 0, reason: "this model and these samples are new" });
  expect(second.runs).toBe(0);
  expect(second.reuse).toMatchObject({ asked: 14, reused: 14 });
  for (const { found } of [first, second])
    expect([...found].map(([key, t]) => [key, t.shape, t.bytes])).toEqual(
      [...plain.found].map(([key, t]) => [key, t.shape, t.bytes]),
    );
});

test("it says why something is gathered anew", async () => {
  const store = memory();
  await ask(store, network(2), some(3), all.slice(0, 2));
  const more = await ask(store, network(2), some(3), all.slice(0, 3));
  expect(more.reuse).toMatchObject({ asked: 6, reused: 4, reason: "not asked for before: absmax of 2 values" });
  expect(more.found.size).toBe(6);
  expect((await ask(store, network(2), some(3), all, engine("2"))).reuse.reason).toMatch(/this engine.*evaluator 2/);
  expect((await ask(store, network(2), some(3, 1))).reuse.reason).toBe("these samples are new");
  expect((await ask(store, network(3), some(3))).reuse.reason).toMatch(/^this model is new/);
  expect((await ask(store, network(3), some(3, 1))).reuse.reason).toMatch(/but not together/);
});

test("a run that was killed goes on where it was, to the same result", async () => {
  let now = 0;
  const clock = vi.spyOn(performance, "now").mockImplementation(() => (now += 6000));
  try {
    const store = memory();
    const whole = some(9);
    let opened = 0;
    const killed: Samples = {
      count: 9,
      async *open() {
        // The first time the samples are read for their digest.
        const dies = opened++ > 0;
        for await (const sample of whole.open()) {
          if (dies && runs === 5) throw new Error("killed");
          yield sample;
        }
      },
    };
    await expect(ask(store, network(2), killed)).rejects.toThrow("killed");
    const resumed = await ask(store, network(2), whole);
    // The fifth was under way.
    expect(resumed.runs).toBe(5);
    expect(resumed.reuse).toMatchObject({ resumedAfter: 4, reason: "an earlier run ended after 4 of 9 samples" });
    const plain = await ask(undefined);
    expect([...resumed.found].map(([key, t]) => [key, t.bytes])).toEqual(
      [...plain.found].map(([key, t]) => [key, t.bytes]),
    );
  } finally {
    clock.mockRestore();
  }
});
