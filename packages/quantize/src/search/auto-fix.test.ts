import { dataOf, type Model, memorySource, type Runtime, type Store, samplesFrom, tensor, viewOf } from "@pare/core";
import { parse } from "@pare/core/parse";
import { evaluatorRuntime } from "@pare/testing";
import { describe, expect, test } from "vitest";
import { host, inputs, numbers } from "../test/acme.ts";
import { autoFix } from "./auto-fix.ts";
import { sqnrJudge } from "./judge.ts";
import { linearOutputs } from "./linear-outputs.ts";
import { characters, cosine, iou, top1, upperBound } from "./metric.ts";

/** Two layers; what goes into the second has one huge channel that its weights hardly look at. */
function hostile(): Model {
  const w1 = (dataOf(numbers([8, 8], 1)) as Float32Array).map((x, i) => (i % 8 === 0 ? 4000 * Math.abs(x) : x));
  const w2 = (dataOf(numbers([8, 5], 2)) as Float32Array).map((x, i) => (i < 5 ? 1e-4 * x : x));
  return parse(
    `main (x: float32[1,8]) => (y: float32[1,5]) {
      w1: float32[8,8] = …  w2: float32[8,5] = …
      a = Gemm(x, w1)
      s = Softplus(a)
      y = Gemm(s, w2)
    }`,
    { weights: { w1: tensor("float32", [8, 8], w1), w2: tensor("float32", [8, 5], w2) } },
  );
}
const of = (seed: number, count = 12) => samplesFrom(inputs(count, seed, [1, 8]));

describe("autoFix", () => {
  const options = () => ({ ...host(inputs(12, 1, [1, 8])), guide: of(300), maxDrop: 1 });

  test("finds the layer that must not be computed in integers, and leaves the other", async () => {
    const fixed = await autoFix(hostile(), { ...options(), metric: cosine });
    expect(fixed.within).toBe(true);
    expect(fixed.trials[0]!.accepted).toBe(false);
    expect(Object.fromEntries(fixed.formats)).toEqual({ a: "int8", y: "float32" });
    const [a, y] = fixed.sensitivity;
    expect(y!.int8Db).toBeLessThan(a!.int8Db - 10);
    const view = viewOf(fixed.model).main;
    expect(view.producer(view.producer("a")!.inputs[0]!)!.op).toBe("DequantizeLinear");
    expect(view.producer("y")!.inputs[0]).toBe("s");
  });

  test("leaves everything in integers where that is within the drop", async () => {
    const fixed = await autoFix(hostile(), { ...options(), metric: cosine, maxDrop: 99 });
    expect(fixed.trials).toHaveLength(1);
    expect([...fixed.formats.values()]).toEqual(["int8", "int8"]);
  });

  test("says when nothing is within the drop, and that the guide is empty", async () => {
    let asked = 0;
    const never = { name: "never the same", answer: () => asked++ };
    expect((await autoFix(hostile(), { ...options(), metric: never, maxDrop: 0 })).within).toBe(false);
    await expect(autoFix(hostile(), { ...options(), guide: samplesFrom([]), metric: cosine })).rejects.toThrow(
      /not one sample to judge by/,
    );
  });

  test("keeps the SQNR that is asked for, on samples that it has not seen too", async () => {
    const { maxDrop: _, ...rest } = options();
    const search = (minSqnr: number) => autoFix(hostile(), { ...rest, minSqnr });
    const [rough, fine] = [await search(10), await search(45)];
    expect([rough.within, fine.within]).toEqual([true, true]);
    const count = (f: typeof fine) => [...f.formats.values()].filter((format) => format === "int8").length;
    expect(count(fine)).toBeLessThan(count(rough));
    for (const t of fine.trials) expect(t.accepted).toBe(t.sqnrDb! >= 45);
    const other = sqnrJudge(rest.runtime, hostile(), of(900), 0, undefined);
    expect((await other.judge(fine.model)).sqnrDb!).toBeGreaterThan(40);
    expect((await other.judge(rough.model)).sqnrDb!).toBeLessThan(40);
    // Codes of so few elements would be no smaller: float32 is what keeps everything.
    const exact = await search(299);
    expect([exact.within, ...exact.formats.values()]).toEqual([true, "float32", "float32"]);
  });

  test("refuses a goal that is none, or two", async () => {
    const { maxDrop: _, ...rest } = options();
    for (const goal of [{}, { metric: cosine }, { maxDrop: 1 }, { metric: cosine, maxDrop: 1, minSqnr: 30 }])
      await expect(autoFix(hostile(), { ...rest, ...goal })).rejects.toThrow(/either a metric and maxDrop/);
  });

  test("goes on after the last trial where it was killed, to the same result", async () => {
    const entries = new Map<string, Uint8Array>();
    const store: Store = {
      get: async (key) => (entries.has(key) ? memorySource(entries.get(key)!) : undefined),
      async put(key, bytes) {
        const parts: Uint8Array[] = [];
        for await (const part of bytes) parts.push(part);
        entries.set(key, Buffer.concat(parts));
      },
    };
    let prepared = 0;
    const counting = (most: number): Runtime => ({
      ...evaluatorRuntime,
      prepare(...given) {
        if (++prepared > most) throw new Error("killed");
        return evaluatorRuntime.prepare(...given);
      },
    });
    const search = (most = Number.POSITIVE_INFINITY, kept: Store | null = store) => {
      prepared = 0;
      const settings = { ...options(), metric: cosine, runtime: counting(most), ...(kept ? { store: kept } : {}) };
      return autoFix(hostile(), settings);
    };
    const whole = await search(Number.POSITIVE_INFINITY, null);
    const all = prepared;
    await expect(search(all - 2)).rejects.toThrow("killed");
    const resumed = await search();
    // What the float model answers, and what was not done before.
    expect(prepared).toBeLessThan(6);
    expect(resumed.trials).toEqual(whole.trials);
    expect(resumed.formats).toEqual(whole.formats);
  });
});

test("outputs are measured before a last function that squashes them", () => {
  const m = parse(`main (x: float32[1,8]) => (p: float32[1,8], q: float32[1,8], r: float32[1,8], s: float32[1,8]) {
    a = Relu(x)
    p = Softmax(a)
    q = Sigmoid(a)
    r = Relu(a)
    s = Sigmoid(x)
  }`);
  // What is an input already has no error to see.
  expect(linearOutputs(m).graph.outputs.map((o) => o.name)).toEqual(["a", "r", "s"]);
});

test("metrics judge as they say", () => {
  const f = (...x: number[]) => ({ y: tensor("float32", [x.length], x) });
  expect(top1.answer(f(1, 5, 2))).toBe("1");
  expect(cosine.score!(cosine.answer(f(1, 0)), cosine.answer(f(1, 1)))).toBeCloseTo(Math.SQRT1_2, 12);
  expect(iou().score!(iou().answer(f(1, 1, 0)), iou().answer(f(0, 1, 1)))).toBeCloseTo(1 / 3, 12);
  const text = characters(() => "");
  expect(text.score!("kitten", "sitting")).toBeCloseTo(1 - 3 / 7, 12);
});

test("a drop may be larger on other samples than it was measured", () => {
  const misses = (n: number, of: number) => Array.from({ length: of }, (_, i) => (i < n ? 100 : 0));
  // Wilson's one-sided bounds for 95 %, from the formula of the paper.
  expect(upperBound(misses(1, 300))).toBeCloseTo(1.4795, 2);
  expect(upperBound(misses(4, 1000))).toBeLessThan(1);
  expect(upperBound(misses(0, 20))).toBe(0);
  expect(upperBound([1, 2, 3])).toBeCloseTo(2 + 1.645 / Math.sqrt(3), 12);
});
