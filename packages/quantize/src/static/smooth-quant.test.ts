import { dataOf, type Model, type ResidentTensor, run, samplesFrom, tensor } from "@pare/core";
import { parse } from "@pare/core/parse";
import { evaluate } from "@pare/ops/evaluate";
import { gather } from "@pare/ops/observe";
import { evaluatorRuntime } from "@pare/testing";
import { describe, expect, test } from "vitest";
import { numbers, target } from "../test/acme.ts";
import { int8 } from "./int8.ts";
import { smoothQuant } from "./smooth-quant.ts";

const WIDTH = 24;
/** A few channels are far larger than the others, as in transformers. */
const outliers = (base: readonly number[] = [], scale = 60) =>
  tensor(
    "float32",
    [WIDTH],
    Array.from({ length: WIDTH }, (_, i) => (i % 8 === 3 ? scale : 1) * (base[i] ?? 1)),
  );

const scheme = {
  operators: new Map([["MatMul", { role: "compute", weight: 1, output: "float" }]] as const),
};
const samples = Array.from({ length: 12 }, (_, i) => ({ x: numbers([4, WIDTH], 70 + i) }));
const host = { runtime: evaluatorRuntime, samples: samplesFrom(samples), target: target(scheme), gather };

/** The feed-forward block of a transformer, after a normalization whose scale has outliers. */
const block = (): Model =>
  parse(
    `main (x: float32[4,${WIDTH}]) => (y: float32[4,8], z: float32[4,8]) {
      s: float32[${WIDTH}] = …  b: float32[${WIDTH}] = …
      u: float32[${WIDTH},32] = …  c: float32[32] = …  d: float32[32,8] = …  v: float32[${WIDTH},8] = …
      n = LayerNormalization(x, s, b)
      h = MatMul(n, u)
      i = Add(h, c)
      r = Relu(i)
      y = MatMul(r, d)
      z = MatMul(n, v)
    }`,
    {
      weights: {
        s: outliers(),
        b: outliers([...dataOf(numbers([WIDTH], 9))]),
        u: numbers([WIDTH, 32], 1),
        c: numbers([32], 2),
        d: numbers([32, 8], 3),
        v: numbers([WIDTH, 8], 4),
      },
    },
  );

const outputs = async (m: Model, x: ResidentTensor) => {
  const { y, z } = await evaluate(m, { x });
  return [...dataOf(y as ResidentTensor<"float32">), ...dataOf(z as ResidentTensor<"float32">)];
};

async function sqnr(a: Model, b: Model): Promise<number> {
  let [signal, noise] = [0, 0];
  for (let seed = 0; seed < 6; seed++) {
    const x = numbers([4, WIDTH], 500 + seed);
    const [want, got] = await Promise.all([outputs(a, x), outputs(b, x)]);
    want.forEach((v, i) => {
      signal += v * v;
      noise += (v - got[i]!) ** 2;
    });
  }
  return 10 * Math.log10(signal / noise);
}

describe("smoothQuant", () => {
  test("changes not a bit of what the model computes, and makes integers fit channels with outliers", async () => {
    const before = block();
    const { model, report } = await run(smoothQuant(), before, host);
    expect(report.passes[0]!.done.map((d) => d.name).sort()).toEqual(["d", "u", "v"]);
    expect(await outputs(model, samples[0]!.x)).toEqual(await outputs(before, samples[0]!.x));
    const plain = await sqnr(before, (await run(int8(), before, host)).model);
    const smooth = await sqnr(before, (await run([smoothQuant(), int8()], before, host)).model);
    expect(smooth).toBeGreaterThan(plain + 6);
  });

  test("alpha says how much goes into the weights", async () => {
    const before = block();
    const spread = async (alpha: number) => {
      const { model } = await run(smoothQuant({ alpha }), before, host);
      const scale = model.graph.nodes.find((n) => n.op === "LayerNormalization")!.inputs[1]!;
      const data = dataOf(model.graph.weights.get(scale) as ResidentTensor<"float32">);
      return Math.max(...data) / Math.min(...data);
    };
    expect(await spread(1)).toBeLessThanOrEqual(2.1);
    expect(await spread(0.5)).toBeGreaterThan(4);
    expect(await spread(0.5)).toBeLessThan(30);
  });

  test("leaves alone what something else reads, and says so", async () => {
    const residual = parse(
      `main (x: float32[4,${WIDTH}]) => (y: float32[4,${WIDTH}]) {
        s: float32[${WIDTH}] = …  u: float32[${WIDTH},${WIDTH}] = …
        n = Mul(x, s)
        h = MatMul(n, u)
        y = Add(h, n)
      }`,
      { weights: { s: outliers(), u: numbers([WIDTH, WIDTH], 1) } },
    );
    const { model, report } = await run(smoothQuant(), residual, host);
    expect(model).toBe(residual);
    expect(report.passes[0]!.skipped).toMatchObject([{ name: "u", reason: "n is read by Add too" }]);
  });

  test("goes through sums and single numbers to the product that can take the factors", async () => {
    const m = parse(
      `main (x: float32[4,${WIDTH}]) => (y: float32[4,8], z: float32[4,8]) {
        s: float32[] = …  b: float32[${WIDTH}] = …  u: float32[${WIDTH},8] = …  v: float32[${WIDTH},8] = …
        n = Mul(s, x)
        a = Add(n, b)
        y = MatMul(a, u)
        z = MatMul(a, v)
      }`,
      {
        weights: {
          s: tensor("float32", [], [0.5]),
          b: outliers(),
          u: numbers([WIDTH, 8], 1),
          v: numbers([WIDTH, 8], 4),
        },
      },
    );
    const { model, report } = await run(smoothQuant(), m, host);
    expect(report.passes[0]!.done).toHaveLength(2);
    expect(await outputs(model, samples[0]!.x)).toEqual(await outputs(m, samples[0]!.x));
  });

  test("goes into convolutions, of single channels with the whole spread", async () => {
    const m = parse(
      `main (x: float32[1,8,6,6]) => (y: float32[1,4,4,4]) {
        s: float32[8,1,1] = …  b: float32[1] = …  u: float32[8,1,3,3] = …  v: float32[4,8,1,1] = …
        n = Mul(x, s)
        a = Add(n, b)
        h = Conv<group=8>(a, u)
        r = Relu(h)
        y = Conv(r, v)
      }`,
      {
        weights: {
          s: tensor("float32", [8, 1, 1], [1, 1, 50, 1, 0.1, 1, 9, 1]),
          b: tensor("float32", [1], [0.01]),
          u: numbers([8, 1, 3, 3], 1),
          // What is wide is read by small weights.
          v: tensor(
            "float32",
            [4, 8, 1, 1],
            (dataOf(numbers([4, 8, 1, 1], 2)) as Float32Array).map((w, i) => (i % 8 === 2 ? w / 50 : w)),
          ),
        },
      },
    );
    const images = Array.from({ length: 8 }, (_, i) => ({ x: numbers([1, 8, 6, 6], 30 + i) }));
    const conv = { role: "compute", weight: 1, output: "own" } as const;
    const here = {
      ...host,
      samples: samplesFrom(images),
      target: target({ operators: new Map([["Conv", conv]]) }),
    };
    const { model, report } = await run(smoothQuant(), m, here);
    expect(report.passes[0]!.done.map((d) => d.name)).toEqual(["u", "v"]);
    const spread = (name: string) => {
      const data = (dataOf(model.graph.weights.get(name) as ResidentTensor<"float32">) as Float32Array).map(Math.abs);
      return Math.max(...data) / Math.min(...data);
    };
    expect(spread(model.graph.nodes[0]!.inputs[1]!)).toBeLessThan(2.5);
    const at = async (of: Model) => {
      const rows = await Promise.all(images.map((i) => evaluate(of, i)));
      return rows.flatMap(({ y }) => [...dataOf(y as ResidentTensor<"float32">)]);
    };
    expect(await at(model)).toEqual(await at(m));
    const error = async (of: Model) => {
      const [want, got] = [await at(m), await at(of)];
      return want.reduce((sum, w, i) => sum + (w - got[i]!) ** 2, 0);
    };
    const plain = await error((await run(int8(), m, here)).model);
    const smooth = await error((await run([smoothQuant(), int8()], m, here)).model);
    expect(smooth).toBeLessThan(plain / 2);
  });

  test("moves nothing where the weights would lose more than what they read gains", async () => {
    const m = parse(
      `main (x: float32[4,${WIDTH}]) => (y: float32[4,8]) {
        s: float32[${WIDTH}] = …  u: float32[${WIDTH},8] = …
        n = Mul(x, s)
        y = MatMul(n, u)
      }`,
      // What is rarely wide is only so by a little, and its weights already are the widest by far.
      {
        weights: {
          s: outliers([], 3),
          u: tensor(
            "float32",
            [WIDTH, 8],
            (dataOf(numbers([WIDTH, 8], 1)) as Float32Array).map((w, i) => (Math.floor(i / 8) % 8 === 3 ? 40 * w : w)),
          ),
        },
      },
    );
    const { model } = await run(smoothQuant(), m, host);
    const errors = await Promise.all(
      [model, (await run(smoothQuant({ alpha: 1 }), m, host)).model].map(async (of) => {
        const quantized = (await run(int8(), of, host)).model;
        const [want, got] = await Promise.all(
          [m, quantized].map((g) => Promise.all(samples.map((i) => evaluate(g, i)))),
        );
        return want!.reduce((sum, { y }, i) => {
          const other = dataOf(got![i]!["y"] as ResidentTensor<"float32">);
          return sum + [...dataOf(y as ResidentTensor<"float32">)].reduce((e, a, k) => e + (a - other[k]!) ** 2, 0);
        }, 0);
      }),
    );
    expect(errors[0]!).toBeLessThan(errors[1]!);
  });
});
