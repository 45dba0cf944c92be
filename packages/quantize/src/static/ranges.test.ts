import { type Statistics, samplesFrom, tensor } from "@pare/core";
import { parse } from "@pare/core/parse";
import { gather } from "@pare/ops/observe";
import { evaluatorRuntime } from "@pare/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Calibration, rangeOf, statisticOf } from "./ranges.ts";

const model = parse("main (x: float32[N]) => (y: float32[N]) { y = Relu(x) }");

/** The range of `x` over samples of numbers. */
async function rangeOver(
  samples: readonly Float32Array[],
  calibration: Calibration,
  symmetric = false,
  percentile = 99,
) {
  const statistics: Statistics = await gather(model, [{ values: ["x"], statistic: statisticOf(calibration) }], {
    runtime: evaluatorRuntime,
    samples: samplesFrom(samples.map((s) => ({ x: tensor("float32", [s.length], s) }))),
  });
  return rangeOf(statistics, "x", { calibration, percentile, levels: 256, symmetric })!;
}

/** Squared error of numbers coded in 256 steps over a range. */
function errorOf(samples: readonly Float32Array[], { min, max }: { min: number; max: number }): number {
  const step = (max - min) / 255 || 1;
  let sum = 0;
  for (const x of samples.flatMap((s) => [...s])) {
    const code = Math.max(0, Math.min(255, Math.round((x - min) / step)));
    sum += (code * step + min - x) ** 2;
  }
  return sum;
}

/** Numbers with tails of different weight on either side. */
const distributions = fc
  .record({
    seed: fc.integer(),
    samples: fc.integer({ min: 1, max: 3 }),
    count: fc.integer({ min: 200, max: 2000 }),
    power: fc.integer({ min: 1, max: 6 }),
    scale: fc.double({ min: -8, max: 8, noNaN: true }),
    negative: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  .map(({ seed, samples, count, power, scale, negative }) => {
    let state = seed;
    const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
    const draw = () => (next() < negative ? -1 : 1) * (-Math.log(next() + 1e-9)) ** power * 10 ** scale;
    return Array.from({ length: samples }, () => Float32Array.from({ length: count }, draw));
  });

test("the range of mse has about the least squared error of all", async () => {
  await fc.assert(
    fc.asyncProperty(distributions, async (samples) => {
      const ranges = await Promise.all(
        (["mse", "min-max", "percentile", "entropy"] as const).map((c) => rangeOver(samples, c)),
      );
      const [mse, ...others] = ranges.map((r) => errorOf(samples, r));
      // Ends move in steps of 1/64, and numbers are known by bins.
      expect(mse!).toBeLessThan(1.25 * Math.min(...others));
    }),
    { numRuns: 40 },
  );
});

test("entropy does not cut what stands out from a background, however rare it is", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer(),
      fc.double({ min: 0.005, max: 0.05, noNaN: true }),
      fc.double({ min: 0.5, max: 4, noNaN: true }),
      async (seed, share, background) => {
        let state = seed;
        const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
        const pixel = () => (next() < share ? 20 * (next() - 0.5) : background * (1 + 0.01 * next()));
        const image = Float32Array.from({ length: 8000 }, pixel);
        const { min, max } = await rangeOver([image], "min-max");
        // All of a narrow background may stand in the middle between two codes of the whole range.
        const most = image.length * ((max - min) / 255 / 2) ** 2;
        expect(errorOf([image], await rangeOver([image], "entropy"))).toBeLessThan(1.1 * most);
      },
    ),
    { numRuns: 40 },
  );
});

test("ranges hold zero, lie within the numbers, and are mirrored where zero is in the middle", async () => {
  await fc.assert(
    fc.asyncProperty(
      distributions,
      fc.constantFrom<Calibration>("min-max", "average", "percentile", "mse", "entropy"),
      fc.boolean(),
      async (samples, calibration, symmetric) => {
        const { min, max } = await rangeOver(samples, calibration, symmetric);
        const all = samples.flatMap((s) => [...s]);
        const [low, high] = [Math.min(0, ...all), Math.max(0, ...all)];
        // A bin is at most 1/512 of the largest magnitude wide.
        const bin = Math.max(-low, high) / 500;
        expect(min).toBeLessThanOrEqual(0);
        expect(max).toBeGreaterThanOrEqual(0);
        if (symmetric) expect(min).toBe(-max);
        else expect(min).toBeGreaterThanOrEqual(low - bin);
        expect(max).toBeLessThanOrEqual(Math.max(high, symmetric ? -low : 0) + bin);
      },
    ),
    { numRuns: 60 },
  );
});

test("percentile keeps the share that is asked for", async () => {
  const numbers = Float32Array.from({ length: 10_000 }, (_, i) => i / 10_000);
  const { min, max } = await rangeOver([numbers], "percentile", false, 98);
  expect(min).toBe(0);
  expect(max).toBeGreaterThan(0.985);
  expect(max).toBeLessThan(0.995);
});

test("what is always zero has a range of nothing, and nothing gathered gives none", async () => {
  const options = { percentile: 99, levels: 256, symmetric: false };
  const zeros = new Map([["min-max:x", tensor("float32", [2], [0, 0])]]);
  expect(rangeOf(zeros, "x", { calibration: "min-max", ...options })).toEqual({ min: 0, max: 0 });
  expect(
    rangeOf(new Map(), "x", { calibration: "mse", percentile: 99, levels: 256, symmetric: false }),
  ).toBeUndefined();
});
