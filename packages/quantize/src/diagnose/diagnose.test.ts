import { dataOf, type Model, run, samplesFrom, tensor } from "@pare/core";
import { parse } from "@pare/core/parse";
import { evaluatorRuntime } from "@pare/testing";
import { describe, expect, test } from "vitest";
import { biasCorrection } from "../static/bias-correction.ts";
import { int8 } from "../static/int8.ts";
import { host, inputs, numbers, target } from "../test/acme.ts";
import { diagnose } from "./diagnose.ts";
import { remedyFor } from "./remedy.ts";

/** Two products; `change` spoils the weights of one of them. */
function model(change: (w1: Float32Array, w2: Float32Array) => void = () => {}): Model {
  const weights = [numbers([8, 8], 1), numbers([8, 8], 2)].map((t) => Float32Array.from(dataOf(t)));
  change(weights[0]!, weights[1]!);
  return parse(
    `main (x: float32[1,8]) => (y: float32[1,8]) {
      w1: float32[8,8] = …  w2: float32[8,8] = …
      a = Gemm(x, w1)
      s = Sigmoid(a)
      y = Gemm(s, w2)
    }`,
    { weights: { w1: tensor("float32", [8, 8], weights[0]!), w2: tensor("float32", [8, 8], weights[1]!) } },
  );
}
const samples = inputs(16, 5, [1, 8]);
const options = { target: target(), runtime: evaluatorRuntime, samples: samplesFrom(samples) };
const quantized = async (m: Model, settings: Parameters<typeof int8>[0] = {}) =>
  (await run(int8(settings), m, host(samples))).model;

describe("diagnose", () => {
  test("SQNR alone, by weights and accumulated are those of models that are quantized so", async () => {
    const m = model();
    const { layers } = await diagnose(m, await quantized(m), options);
    expect(layers.map((l) => l.layer).sort()).toEqual(["a", "y"]);
    const y = layers.find((l) => l.layer === "y")!;
    const outputs = async (of: Model) => {
      const session = await evaluatorRuntime.prepare(of);
      const rows = [];
      for (const s of samples) rows.push(...(dataOf((await session.run(s))["y"]!) as Float32Array));
      return rows;
    };
    const reference = await outputs(m);
    const db = async (of: Model) => {
      const got = await outputs(of);
      const noise = reference.reduce((sum, r, i) => sum + (r - got[i]!) ** 2, 0);
      return 10 * Math.log10(reference.reduce((sum, r) => sum + r * r, 0) / noise);
    };
    expect(y.aloneDb).toBeCloseTo(await db(await quantized(m, { include: ["y"] })), 2);
    expect(y.accumulatedDb).toBeCloseTo(await db(await quantized(m)), 2);
    expect(y.weightDb).toBeGreaterThan(y.aloneDb);
    expect(y.saturation).toBe(0);
  });

  test("ranks the layer first that was spoiled, and says by what", async () => {
    const wide = model((w1) => w1.fill(300, 8, 9));
    const widened = await diagnose(wide, await quantized(wide, { granularity: "tensor" }), options);
    expect(widened.layers[0]).toMatchObject({ layer: "a" });
    // An input far beyond what was calibrated on is cut.
    const m = model();
    const far = samplesFrom(
      samples.map(({ x }) => ({
        x: tensor(
          "float32",
          [1, 8],
          dataOf(x).map((v) => 9 * v),
        ),
      })),
    );
    const cut = await diagnose(m, await quantized(m), { ...options, samples: far });
    expect(cut.layers[0]).toMatchObject({ layer: "a", remedy: { kind: "range" } });
    expect(cut.layers[0]!.saturation).toBeGreaterThan(0.5);
  });

  test("sees that correcting biases takes shifts away", async () => {
    const m = model();
    const before = await diagnose(m, await quantized(m, { bits: 4, rounding: "nearest" }), options);
    const corrected = (
      await run(
        [biasCorrection({ bits: 4, rounding: "nearest" }), int8({ bits: 4, rounding: "nearest" })],
        m,
        host(samples),
      )
    ).model;
    const after = await diagnose(m, corrected, options);
    const shift = (d: typeof before) => d.layers.find((l) => l.layer === "y")!.biasShift!;
    expect(shift(after)).toBeLessThan(shift(before) / 5);
  });

  test("counts the numbers of the worst layers before and after", async () => {
    const m = model();
    const { distributions } = await diagnose(m, await quantized(m), { ...options, distributions: 1 });
    expect(distributions).toHaveLength(1);
    const count = (h: (typeof distributions)[0]["before"]) => h.counts.reduce((a, b) => a + b, h.zeros);
    expect(count(distributions[0]!.before)).toBe(16 * 8);
    expect(count(distributions[0]!.after)).toBe(16 * 8);
  });

  test("of a model in which nothing is quantized there is nothing to tell", async () => {
    expect(await diagnose(model(), model(), options)).toEqual({ layers: [], distributions: [] });
  });
});

test("the remedy is for what makes up most of the error", () => {
  const layer = { layer: "y", op: "Conv", aloneDb: 15, weightDb: 40, accumulatedDb: 12, saturation: 0, rangeRatio: 2 };
  const kind = (change: Partial<typeof layer> & { shiftShare?: number }) =>
    remedyFor({ ...layer, ...change }).remedy?.kind;
  expect(kind({ aloneDb: 35, accumulatedDb: 25 })).toBeUndefined();
  expect(kind({ aloneDb: 35 })).toBe("before");
  expect(kind({ saturation: 0.02 })).toBe("range");
  expect(kind({ shiftShare: 0.8 })).toBe("bias");
  expect(kind({ weightDb: 16 })).toBe("weights");
  expect(kind({ rangeRatio: 40 })).toBe("channels");
  expect(kind({})).toBe("float");
});
