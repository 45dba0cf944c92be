import { dataOf, type ResidentTensor, samplesFrom, tensor, type Values } from "@pare/core";
import { parse } from "@pare/core/parse";
import fc from "fast-check";
import { expect, test } from "vitest";
import { evaluate } from "./evaluate.ts";
import { addNumbers, histogram } from "./observe/histogram.ts";
import { gather, histogramOf, statisticKey } from "./observe.ts";

const model = parse("main (x: float32[2,3,2]) => (y: float32[2,3,2]) { h = Neg(x)  y = Relu(h) }");
const runtime = {
  name: "evaluator",
  version: async () => "1",
  prepare: async (m: typeof model) => ({
    inputs: [],
    outputs: [],
    run: async (inputs: Values, options?: { outputs?: readonly string[] }) => evaluate(m, inputs, options ?? {}),
    close: async () => {},
  }),
};
const samples = samplesFrom([
  { x: tensor("float32", [2, 3, 2], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]) },
  { x: tensor("float32", [2, 3, 2], [-3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -24]) },
]);
const numbers = (t: ResidentTensor | undefined) => [...(dataOf(t!) as Float32Array)];

test("statistics are those of the values over all samples", async () => {
  const wishes = [
    "absmax",
    "min",
    "max",
    "min-max",
    "average-min-max",
    "channel-absmax@1",
    "channel-mean@-1",
    "gram@2",
  ];
  const found = await gather(
    model,
    wishes.map((statistic) => ({ values: ["h"], statistic })),
    { runtime, samples },
  );
  const of = (statistic: string) => numbers(found.get(statisticKey(statistic, "h")));
  expect(of("absmax")).toEqual([24]);
  expect(of("min")).toEqual([-12]);
  expect(of("max")).toEqual([24]);
  expect(of("min-max")).toEqual([-12, 24]);
  expect(of("average-min-max")).toEqual([-6, 11.5]);
  expect(of("channel-absmax@1")).toEqual([8, 10, 24]);
  // Rows of the two samples: [-1,-2] … [-11,-12], and [3,0], zeros, [0,24].
  expect(of("gram@2")).toEqual([(286 / 6 + 9 / 6) / 2, 322 / 12, 322 / 12, (364 / 6 + 576 / 6) / 2].map(Math.fround));
  expect(of("channel-mean@-1")).toEqual([(-6 + 0.5) / 2, (-7 + 4) / 2]);
});

test("histograms hold all numbers of small values, zeros apart", async () => {
  const found = await gather(model, [{ values: ["x"], statistic: "histogram" }], { runtime, samples });
  const h = histogramOf(found, "x")!;
  expect(h.zeros).toBe(10);
  expect(h.counts.reduce((a, b) => a + b, 0)).toBe(12 + 2);
  const at = (x: number) => h.counts[Math.floor(x / h.width) + h.counts.length / 2];
  expect(at(-24)).toBe(1);
  expect(at(12)).toBe(1);
  expect(at(7)).toBe(1);
});

test("of large values a histogram holds a spread of numbers and both ends", async () => {
  const size = 100_000;
  const x = Float32Array.from({ length: size }, (_, i) => (i === 777 ? -5 : i === 778 ? 9 : 1 + i / size));
  const large = parse(`main (x: float32[${size}]) => (y: float32[${size}]) { y = Relu(x) }`);
  const found = await gather(large, [{ values: ["x"], statistic: "histogram" }], {
    runtime,
    samples: samplesFrom([{ x: tensor("float32", [size], x) }]),
  });
  const h = histogramOf(found, "x")!;
  const at = (v: number) => h.counts[Math.floor(v / h.width) + h.counts.length / 2]!;
  expect(at(-5)).toBeGreaterThan(0);
  expect(at(9)).toBeGreaterThan(0);
  const total = h.counts.reduce((a, b) => a + b, 0);
  expect(total).toBeGreaterThan(12_000);
  expect(total).toBeLessThan(24_000);
});

test("a histogram does not depend on the order of what it is given", () => {
  const pieces = fc.array(
    fc.array(fc.double({ min: -1e30, max: 1e30, noNaN: true }), { maxLength: 20 }).map((a) => Float32Array.from(a)),
    { minLength: 1, maxLength: 6 },
  );
  fc.assert(
    fc.property(pieces, (all) => {
      const [forwards, backwards] = [histogram(), histogram()];
      for (const piece of all) addNumbers(forwards, piece);
      for (const piece of all.toReversed()) addNumbers(backwards, piece.toReversed());
      expect([forwards.width, forwards.zeros, forwards.counts]).toEqual([
        backwards.width,
        backwards.zeros,
        backwards.counts,
      ]);
      const most = Math.max(...all.flatMap((p) => [...p].map(Math.abs)), 0);
      if (most > 0) expect(most / forwards.width).toBeGreaterThanOrEqual(forwards.counts.length / 4);
    }),
  );
});

test("unknown statistics and empty samples are named", async () => {
  const wish = (statistic: string) => [{ values: ["h"], statistic }];
  await expect(gather(model, wish("median"), { runtime, samples })).rejects.toThrow(/no statistic is called median/);
  await expect(gather(model, wish("max"), { runtime, samples: samplesFrom([]) })).rejects.toThrow(/not one sample/);
});
