import { dataOf, type Model, resident, run, samplesFrom, type Tensor, tensor } from "@pare/core";
import { parse } from "@pare/core/parse";
import { evaluate } from "@pare/ops/evaluate";
import { unpack } from "@pare/ops/numeric";
import { gather } from "@pare/ops/observe";
import { evaluatorRuntime } from "@pare/testing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { numbers, random } from "../test/acme.ts";
import { fixedPoint } from "./fixed-point.ts";
import { int8Weights } from "./int8-weights.ts";
import { int12Weights } from "./int12-weights.ts";

const matmul = (w: Tensor): Model =>
  parse(
    `main (x: float32[N,${w.shape[0]}]) => (y: float32[N,${w.shape[1]}]) { w: float32[${w.shape}] = …  y = MatMul(x, w) }`,
    {
      weights: { w },
    },
  );

const data = async (t: Tensor | undefined) =>
  Array.from(dataOf(await resident(t!)) as Iterable<number | bigint>, Number);

/** What DequantizeLinear gives by its definition, with scales along the last axis or one for all. */
async function decoded(m: Model): Promise<number[]> {
  const g = m.graph;
  const dq = g.nodes.find((n) => n.op === "DequantizeLinear")!;
  const [codes = [], scales = [], zeros] = await Promise.all(dq.inputs.map((v) => data(g.weights.get(v))));
  return codes.map((q, i) => {
    const c = i % scales.length;
    return Math.fround((q - (zeros?.[c] ?? 0)) * scales[c]!);
  });
}

const weights = fc
  .record({
    rows: fc.integer({ min: 60, max: 90 }),
    columns: fc.integer({ min: 3, max: 9 }),
    seed: fc.integer(),
    spread: fc.double({ min: -6, max: 6, noNaN: true }),
  })
  .map(({ rows, columns, seed, spread }) => {
    let state = seed;
    const values = Float32Array.from({ length: rows * columns }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      return (state / 2 ** 31) * 10 ** spread;
    });
    return tensor("float32", [rows, columns], values);
  });

describe("int8Weights", () => {
  test.each([
    [true, "nearest", 0.5001],
    [false, "nearest", 0.5001],
    [true, "balanced", 1.0001],
  ] as const)(
    "symmetric %s, rounding %s: no weight is further than %s steps from its source",
    async (symmetric, rounding, steps) => {
      await fc.assert(
        fc.asyncProperty(weights, async (w) => {
          const { model, report } = await run(int8Weights({ symmetric, rounding }), matmul(w));
          expect(report.passes[0]!.done.map((d) => d.name)).toEqual(["w"]);
          const scales = await data(model.graph.weights.get("w_scale"));
          const got = await decoded(model);
          const source = dataOf(w);
          for (let i = 0; i < source.length; i++)
            expect(Math.abs(got[i]! - source[i]!)).toBeLessThanOrEqual(scales[i % scales.length]! * steps);
        }),
      );
    },
  );

  test("a column of zeros stays zeros, and an extreme is a code of its own", async () => {
    const values = Float32Array.from({ length: 300 }, (_, i) => (i % 3 === 0 ? 0 : i % 3 === 1 ? i : -i / 7));
    const { model } = await run(int8Weights(), matmul(tensor("float32", [100, 3], values)));
    const got = await decoded(model);
    expect(got.filter((_, i) => i % 3 === 0).every((v) => v === 0)).toBe(true);
    expect(got[298]).toBeCloseTo(298, 3);
  });

  test("a weight that would not get smaller is left alone, with the reason", async () => {
    const { model, report } = await run(int8Weights(), matmul(tensor("float32", [4, 3], new Float32Array(12))));
    expect(model.graph.nodes.map((n) => n.op)).toEqual(["MatMul"]);
    expect(report.passes[0]!.skipped[0]!.reason).toMatch(/would not be smaller/);
  });

  test("a weight that is not finite stops the export and is named", async () => {
    const values = new Float32Array(300).fill(1);
    values[7] = Number.NaN;
    const { model } = await run(int8Weights(), matmul(tensor("float32", [100, 3], values)));
    await expect(decoded(model)).rejects.toThrow(/w .*not finite/);
  });

  test("finds weights in Constant nodes, branches and behind a Transpose", async () => {
    const m = parse(`
      main (x: float32[N,64], c: bool) => (y) {
        w: float32[32,64] = random(3)
        t = Transpose<perm=[1,0]>(w)
        h = MatMul(x, t)
        y = If<then_branch=a () => (p) { v: float32[32,32] = random(1)  p = MatMul(h, v) },
               else_branch=b () => (q) { u = Constant<value=float32[32,32]random(2)>()  q = MatMul(h, u) }>(c)
      }`);
    const { report, model } = await run(int8Weights(), m);
    expect(report.passes[0]!.done.map((d) => d.name)).toEqual(["w", "y/then_branch/v", "y/else_branch/u"]);
    expect(model.graph.nodes.find((n) => n.op === "DequantizeLinear")!.attributes.get("axis")).toEqual({
      type: "int",
      value: 0,
    });
  });
});

describe("int12Weights", () => {
  /** Rows by columns of what a unit matrix gives. */
  const product = async (m: Model, rows: number) => {
    const unit = Float32Array.from({ length: rows * rows }, (_, i) => Number(i % (rows + 1) === 0));
    return dataOf((await evaluate(m, { x: tensor("float32", [rows, rows], unit) }))["y"]!) as Float32Array;
  };

  test.each([
    ["nearest", 0.5001],
    ["balanced", 1.0001],
  ] as const)(
    "rounding %s: no weight is further than %s steps from its source, in 12 bits",
    async (rounding, steps) => {
      await fc.assert(
        fc.asyncProperty(weights, async (w) => {
          const { model, report } = await run(int12Weights({ rounding }), matmul(w));
          // The smallest are left alone.
          fc.pre(report.passes[0]!.done.length > 0);
          const [rows, columns] = w.shape as [number, number];
          const source = dataOf(w);
          const got = await product(model, rows);
          for (let c = 0; c < columns; c++) {
            const column = Array.from({ length: rows }, (_, r) => r * columns + c);
            const most = Math.max(...column.map((i) => Math.abs(source[i]!)));
            for (const i of column)
              expect(Math.abs(got[i]! - source[i]!)).toBeLessThanOrEqual((most / 2039) * steps + 1e-7 * most);
          }
          const bytes = [...model.graph.weights].reduce((sum, [, t]) => sum + t.byteLength, 0);
          expect(bytes).toBe(rows * columns + Math.ceil((rows * columns) / 2) + 2 * 4 * columns);
        }),
      );
    },
  );

  test("codes at both ends, and those half way between two of the coarse ones, are exact", async () => {
    const codes = Float32Array.from({ length: 4079 }, (_, i) => i - 2039);
    const { model } = await run(int12Weights(), matmul(tensor("float32", [4079, 1], codes)));
    expect(await data(model.graph.weights.get("w_low_scale"))).toEqual([1]);
    const high = await data(model.graph.weights.get("w_high"));
    const low = unpack("int4", dataOf(await resident(model.graph.weights.get("w_low")!)) as Uint8Array, codes.length);
    expect(high.map((h, i) => 16 * h + low[i]!)).toEqual([...codes]);
  });

  test("with samples, what a product gives is closer than with weights rounded by themselves", async () => {
    const mix = random(5);
    const inputs = Array.from({ length: 24 }, () => {
      const source = mix();
      return {
        x: tensor(
          "float32",
          [1, 64],
          Float32Array.from({ length: 64 }, (_, i) => source * Math.sin(i) + mix() / 50),
        ),
      };
    });
    const w = numbers([64, 12], 9);
    const host = { runtime: evaluatorRuntime, samples: samplesFrom(inputs.slice(0, 16)), gather };
    const error = async (options: Parameters<typeof int12Weights>[0]) => {
      const { model } = await run(int12Weights(options), matmul(w), host);
      let sum = 0;
      for (const sample of inputs.slice(16)) {
        const [want, got] = await Promise.all(
          [matmul(w), model].map(async (m) => dataOf((await evaluate(m, sample))["y"]!)),
        );
        (want as Float32Array).forEach((v, i) => void (sum += (v - (got as Float32Array)[i]!) ** 2));
      }
      return sum;
    };
    expect(await error({})).toBeLessThan((await error({ rounding: "nearest" })) / 4);
  });
});

describe("fixedPoint", () => {
  test("Q(w) = round(w * 2^b) * 2^-b, ties to even", async () => {
    const values = Float32Array.of(0.5, 1.5, 2.5, -0.5, -1.5, 3.49, 100.2, -127.5, ...new Float32Array(92));
    const { model } = await run(fixedPoint({ bits: 0 }), matmul(tensor("float32", [10, 10], values)));
    expect((await decoded(model)).slice(0, 8)).toEqual([0, 2, 2, 0, -2, 3, 100, -128]);
    expect(model.graph.weights.get("w_quantized")!.dtype).toBe("int8");
  });

  test("takes the smallest codes that hold all, and counts what a given width cuts", async () => {
    const values = Float32Array.from({ length: 100 }, (_, i) => i - 50);
    const w = tensor("float32", [10, 10], values);
    const formats = async (options: Parameters<typeof fixedPoint>[0]) =>
      (await run(fixedPoint(options), matmul(w))).report.passes[0]!;
    expect((await formats({ bits: 0 })).done[0]!.facts).toMatchObject({ format: "int8", saturated: 0 });
    expect((await formats({ bits: 4 })).done[0]!.facts).toMatchObject({ format: "int16", saturated: 0 });
    const cut = await formats({ bits: 2, width: "int8" });
    expect(cut.done[0]!.facts).toMatchObject({ format: "int8", saturated: 36 });
    expect(cut.diagnostics[0]!.code).toBe("quantize/saturated");
    expect((await formats({ bits: 26 })).skipped[0]!.reason).toMatch(/32 bits/);
  });
});
