import {
  dataOf,
  elementsOf,
  type Model,
  type ResidentTensor,
  resident,
  run,
  samplesFrom,
  type Tensor,
  tensor,
} from "@pare/core";
import { parse } from "@pare/core/parse";
import { evaluate } from "@pare/ops/evaluate";
import { gather } from "@pare/ops/observe";
import { evaluatorRuntime } from "@pare/testing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { numbers, random } from "../test/acme.ts";
import { affineOf, codeLimits, rangesOf } from "./affine.ts";
import { leastErrorAffine } from "./block-scales.ts";
import { blockWeights } from "./block-weights.ts";
import { layoutOf } from "./layout.ts";

const product = (w: Tensor): Model =>
  parse(
    `main (x: float32[N,${w.shape[0]}]) => (y: float32[N,${w.shape[1]}]) { w: float32[${w.shape}] = …  y = MatMul(x, w) }`,
    {
      weights: { w },
    },
  );

/** Numbers with heavy tails, as weights have. */
function tailed(shape: readonly number[], seed: number) {
  const next = random(seed);
  const draw = () => (next() < 0.5 ? -1 : 1) * (-Math.log(next() + 1e-9)) ** 1.5;
  return tensor("float32", shape, Float32Array.from({ length: shape[0]! * shape[1]! }, draw));
}

/** The weight that a product multiplies by. */
async function decoded(m: Model, rows: number): Promise<Float32Array> {
  const unit = Float32Array.from({ length: rows * rows }, (_, i) => Number(i % (rows + 1) === 0));
  const { y } = await evaluate(m, { x: tensor("float32", [rows, rows], unit) });
  return dataOf(y as ResidentTensor<"float32">) as Float32Array;
}

const squared = (a: Float32Array, b: Float32Array) => a.reduce((sum, v, i) => sum + (v - b[i]!) ** 2, 0);

describe("blockWeights", () => {
  const shapes = fc.record({
    rows: fc.integer({ min: 40, max: 90 }),
    columns: fc.integer({ min: 20, max: 40 }),
    seed: fc.integer(),
    symmetric: fc.boolean(),
    bits: fc.constantFrom(4 as const, 8 as const),
    blockSize: fc.constantFrom(16 as const, 32 as const),
  });

  test("what DequantizeLinear gives of codes is within half a step of each block's range, ragged blocks too", async () => {
    await fc.assert(
      fc.asyncProperty(shapes, async ({ rows, columns, seed, ...options }) => {
        const w = numbers([rows, columns], seed);
        const { model, report } = await run(blockWeights({ ...options, scales: "range" }), product(w));
        expect(report.passes[0]!.done).toMatchObject([{ name: "w", facts: { rounding: "nearest" } }]);
        expect(model.graph.weights.get("w_quantized")!.dtype).toBe(`int${options.bits}`);
        const scale = model.graph.weights.get("w_scale")!;
        expect(scale.shape).toEqual([Math.ceil(rows / options.blockSize), columns]);
        const steps = dataOf(await resident(scale)) as Float32Array;
        const got = await decoded(model, rows);
        dataOf(w).forEach((v, i) => {
          const group = Math.floor(Math.floor(i / columns) / options.blockSize) * columns + (i % columns);
          // Without symmetry the zero point is rounded too.
          const most = steps[group]! * (options.symmetric ? 0.5001 : 1.0001);
          expect(Math.abs(got[i]! - v)).toBeLessThanOrEqual(most);
        });
      }),
      { numRuns: 30 },
    );
  });

  test("scales of least error have no more of it than those of the whole range, in whatever pieces the weight comes", async () => {
    const cases = fc.record({
      shape: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 2, maxLength: 3 }),
      axis: fc.integer({ min: 0, max: 1 }),
      size: fc.integer({ min: 1, max: 20 }),
      piece: fc.integer({ min: 1, max: 100 }),
      symmetric: fc.boolean(),
      seed: fc.integer(),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ shape, axis, size, piece, symmetric, seed }) => {
        const all = dataOf(tailed([shape.reduce((n, d) => n * d, 1), 1], seed)) as Float32Array;
        const pieces = async function* (length: number) {
          for (let start = 0; start < all.length; start += length)
            yield { data: all.slice(start, start + length), start };
        };
        const granularity = { kind: "block", axis, size } as const;
        const best = await leastErrorAffine(shape, granularity, pieces(piece), "int4", symmetric, "w");
        expect(await leastErrorAffine(shape, granularity, pieces(all.length), "int4", symmetric, "w")).toEqual(best);
        const layout = layoutOf(shape, granularity);
        const plain = affineOf(await rangesOf(layout, pieces(all.length)), codeLimits(4, symmetric), symmetric, "w");
        const errors = ({ scale, zeroPoint }: typeof best) => {
          const sums = new Float64Array(layout.groups);
          layout.runs(
            0,
            all.length,
          )((from, to, group, width, offset) => {
            for (let i = from; i < to; i++) {
              const g = group + ((offset + i - from) % width);
              const code = Math.max(-8, Math.min(7, Math.round(all[i]! / scale[g]!) + zeroPoint[g]!));
              sums[g]! += (all[i]! - (code - zeroPoint[g]!) * scale[g]!) ** 2;
            }
          });
          return sums;
        };
        const before = errors(plain);
        errors(best).forEach((e, g) => void expect(e).toBeLessThanOrEqual(before[g]! * 1.000001));
      }),
      { numRuns: 60 },
    );
  });

  test("scales of least error make the weight closer by more than a tenth", async () => {
    const w = tailed([128, 32], 5);
    const error = async (scales: "range" | "least-error") =>
      squared(
        dataOf(w) as Float32Array,
        await decoded((await run(blockWeights({ scales, symmetric: true }), product(w))).model, 128),
      );
    expect(await error("least-error")).toBeLessThan(0.9 * (await error("range")));
  });

  test("with samples, what a product gives is closer than with weights rounded by themselves", async () => {
    const w = numbers([48, 32], 3);
    // Inputs that go together: mixtures of few sources.
    const mix = dataOf(numbers([6, 48], 4));
    const inputs = Array.from({ length: 24 }, (_, s) => {
      const source = dataOf(numbers([4, 6], 50 + s));
      const at = (r: number, c: number) =>
        mix.reduce((sum, m, k) => (k % 48 === c ? sum + m * source[r * 6 + Math.floor(k / 48)]! : sum), 0);
      return {
        x: tensor(
          "float32",
          [4, 48],
          Float32Array.from({ length: 192 }, (_, i) => at(Math.floor(i / 48), i % 48)),
        ),
      };
    });
    const host = { runtime: evaluatorRuntime, samples: samplesFrom(inputs.slice(0, 16)), gather };
    const error = async (m: Model) => {
      let sum = 0;
      for (const sample of inputs.slice(16)) {
        const [want, got] = await Promise.all(
          [product(w), m].map(async (g) => dataOf((await evaluate(g, sample))["y"]!)),
        );
        sum += squared(want as Float32Array, got as Float32Array);
      }
      return sum;
    };
    const { model, report } = await run(blockWeights(), product(w), host);
    expect(report.passes[0]!.done).toMatchObject([{ facts: { rounding: "gptq" } }]);
    const nearest = await run(blockWeights({ rounding: "nearest" }), product(w), host);
    expect(await error(model)).toBeLessThan((await error(nearest.model)) / 2);
  });

  test("says why it leaves a weight alone", async () => {
    const reasons = async (options: Parameters<typeof blockWeights>[0], w: Tensor) =>
      (await run(blockWeights(options), product(w))).report.passes[0]!.skipped.map((s) => s.reason);
    expect(await reasons({}, numbers([8, 3], 1))).toEqual([expect.stringMatching(/would not be smaller/)]);
    expect(await reasons({ rounding: "gptq" }, numbers([64, 32], 1))).toEqual([
      expect.stringMatching(/were not measured/),
    ]);
    const bad = tensor("float32", [64, 32], new Float32Array(2048).fill(Number.POSITIVE_INFINITY));
    const { model } = await run(blockWeights(), product(bad));
    await expect(async () => {
      for await (const _ of elementsOf(model.graph.weights.get("w_quantized")!));
    }).rejects.toThrow(/w .*not finite/);
  });
});
