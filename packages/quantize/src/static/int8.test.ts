import { dataOf, type Model, resident, run, tensor, viewOf } from "@pare/core";
import { parse } from "@pare/core/parse";
import { evaluate } from "@pare/ops/evaluate";
import { describe, expect, test } from "vitest";
import { host, inputs, numbers, target, unsigned } from "../test/acme.ts";
import { biasCorrection } from "./bias-correction.ts";
import { equalize } from "./equalize.ts";
import { int8 } from "./int8.ts";

/** Two convolutions around a residual, pooled, and a layer on top. */
const network = (): Model =>
  parse(
    `main (x: float32[1,3,8,8]) => (y: float32[1,5]) {
      w1: float32[6,3,3,3] = …  b1: float32[6] = …  w2: float32[6,6,3,3] = …  b2: float32[6] = …  w3: float32[5,96] = …  b3: float32[5] = …
      a = Conv<pads=[1,1,1,1]>(x, w1, b1)
      r = Relu(a)
      c = Conv<pads=[1,1,1,1]>(r, w2, b2)
      s = Add(c, r)
      t = Relu(s)
      p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(t)
      f = Flatten(p)
      y = Gemm<transB=1>(f, w3, b3)
    }`,
    {
      weights: {
        w1: numbers([6, 3, 3, 3], 1),
        b1: numbers([6], 2),
        w2: numbers([6, 6, 3, 3], 3),
        b2: numbers([6], 4),
        w3: numbers([5, 96], 5),
        b3: numbers([5], 6),
      },
    },
  );

/** SQNR in dB of an output over fresh inputs. */
async function sqnr(a: Model, b: Model, samples: ReturnType<typeof inputs>, output = "y"): Promise<number> {
  let [signal, noise] = [0, 0];
  for (const sample of samples) {
    const [x, y] = await Promise.all(
      [a, b].map(async (m) => dataOf((await evaluate(m, sample))[output]!) as Float32Array),
    );
    x!.forEach((v, i) => {
      signal += v * v;
      noise += (v - y![i]!) ** 2;
    });
  }
  return 10 * Math.log10(signal / noise);
}
const operators = (m: Model) => m.graph.nodes.map((n) => n.op).filter((op) => !op.includes("Linear"));

describe("int8", () => {
  test("codes stand around what the target computes in integers, and the numbers stay close", async () => {
    const before = network();
    const { model, report } = await run(int8(), before, host(inputs(8, 100)));
    expect(report.passes[0]!.done.map((d) => d.ops[0])).toEqual(["Conv", "Conv", "Gemm"]);
    expect(operators(model)).toEqual(["Conv", "Relu", "Conv", "Add", "Relu", "MaxPool", "Flatten", "Gemm"]);
    const view = viewOf(model).main;
    const maker = (v: string) => view.producer(v)?.op;
    // Between a convolution and its activation there are no codes; after both, and around the carried ones, there are.
    expect(maker(view.graph.nodes.find((n) => n.op === "Relu")!.inputs[0]!)).toBe("Conv");
    for (const op of ["Conv", "Add", "MaxPool", "Flatten", "Gemm"])
      for (const n of view.graph.nodes.filter((n) => n.op === op))
        expect(n.inputs.map(maker), op).toEqual(n.inputs.map(() => "DequantizeLinear"));
    expect(maker("y")).toBe("Gemm");
    // Pooling and flattening keep the codes they get.
    const scaleOf = (v: string) => view.producer(v)!.inputs[1];
    expect(new Set(["t", "p", "f"].map(scaleOf)).size).toBe(1);
    for (const t of view.graph.weights.values()) expect(t.shape.length > 1 ? t.dtype : "int8").toBe("int8");
    expect(await sqnr(before, model, inputs(8, 500))).toBeGreaterThan(35);
  });

  test("what only carries stays float where nobody wants codes of it", async () => {
    const m = parse(
      `main (x: float32[1,3,8,8]) => (y: float32[1,3,8,8]) {
        w: float32[3,3,1,1] = …
        c = Conv(x, w)
        s = Sigmoid(c)
        y = Exp(s)
      }`,
      { weights: { w: numbers([3, 3, 1, 1], 7) } },
    );
    const { model } = await run(int8(), m, host(inputs(4, 1)));
    expect(viewOf(model).main.producer("s")!.inputs[0]).toBe("c");
    expect(model.graph.nodes.filter((n) => n.op === "QuantizeLinear").map((n) => n.inputs[0])).toEqual([
      "x",
      "c_float",
    ]);
  });

  test("a result that is an output of the graph keeps its name", async () => {
    const m = parse(`main (x: float32[1,3,8,8]) => (y: float32[1,3,8,8]) { w: float32[3,3,1,1] = …  y = Conv(x, w) }`, {
      weights: { w: numbers([3, 3, 1, 1], 7) },
    });
    const { model } = await run(int8(), m, host(inputs(4, 1)));
    expect(viewOf(model).main.producer("y")!.op).toBe("DequantizeLinear");
    expect(await sqnr(m, model, inputs(4, 60))).toBeGreaterThan(30);
  });

  test("what is excluded is not spoken of, and what does not fit is left alone with a reason", async () => {
    const { model, report } = await run(int8({ exclude: ["w2"] }), network(), host(inputs(4, 1)));
    expect(report.passes[0]).toMatchObject({ done: [{ ops: ["Conv"] }, { ops: ["Gemm"] }], skipped: [] });
    expect(model.graph.weights.get("w2")!.dtype).toBe("float32");
    const products = parse(
      `main (x: float32[1,3,8,8]) => (y: float32[1,1,1,1]) { b: float32[1] = …  y = Conv(x, x, b) }`,
      { weights: { b: numbers([1], 4) } },
    );
    const constant = parse(`main (x: float16[1,3,8,8]) => (y: float16[1,3,8,8]) { y = Conv(x, x) }`);
    for (const [m, reason] of [[constant, "x is not known to be float32"]] as const)
      expect((await run(int8(), m, host([]))).report.passes[0]!.skipped).toMatchObject([{ reason }]);
    expect((await run(int8(), products, host(inputs(2, 1)))).report.passes[0]!.done).toHaveLength(1);
  });

  test.each(["min-max", "average", "percentile", "mse", "entropy"] as const)(
    "%s gives ranges that work",
    async (calibration) => {
      const before = network();
      const { model } = await run(int8({ calibration }), before, host(inputs(8, 100)));
      expect(await sqnr(before, model, inputs(8, 500))).toBeGreaterThan(20);
    },
  );

  test("weights by mse: what is widest is cut where that leaves less error, within the codes that are used", async () => {
    const m = parse(
      `main (x: float32[1,64]) => (y: float32[1,4]) {
        w: float32[64,4] = …
        y = Gemm(x, w)
      }`,
      {
        weights: {
          // One number of each output is a little wider than the others; codes are few.
          w: tensor(
            "float32",
            [64, 4],
            (dataOf(numbers([64, 4], 3)) as Float32Array).map((v, i) => (i < 4 ? 1.6 : 0.8 * v)),
          ),
        },
      },
    );
    const samples = inputs(6, 40, [1, 64]);
    const codesBy = async (weightRanges: "min-max" | "mse") => {
      const { model } = await run(int8({ bits: 3, rounding: "nearest", weightRanges }), m, host(samples));
      const codes = dataOf(await resident(model.graph.weights.get("w_quantized")!)) as Int8Array;
      const scale = dataOf(await resident(model.graph.weights.get("w_scale")!)) as Float32Array;
      const w = dataOf(await resident(m.graph.weights.get("w")!)) as Float32Array;
      for (const c of codes) expect(Math.abs(c)).toBeLessThanOrEqual(3);
      return w.reduce((sum, v, i) => sum + (v - codes[i]! * scale[i % 4]!) ** 2, 0);
    };
    expect(await codesBy("mse")).toBeLessThan(0.9 * (await codesBy("min-max")));
  });

  test("percentile leaves out what happens once", async () => {
    const m = parse(
      `main (x: float32[1,1,40,40]) => (y: float32[1,1,40,40]) { w: float32[1,1,1,1] = …  y = Conv(x, w) }`,
      { weights: { w: tensor("float32", [1, 1, 1, 1], [1]) } },
    );
    const samples = inputs(8, 100, [1, 1, 40, 40]);
    const spike = Float32Array.from(dataOf(samples[3]!.x) as Float32Array);
    spike[77] = 40;
    samples[3] = { x: tensor("float32", [1, 1, 40, 40], spike) };
    const quality = async (calibration: "min-max" | "percentile") => {
      const options = { calibration, percentile: 99.9 };
      return sqnr(m, (await run(int8(options), m, host(samples))).model, inputs(4, 500, [1, 1, 40, 40]));
    };
    const widest = await quality("min-max");
    expect(await quality("percentile")).toBeGreaterThan(widest + 20);
  });

  test("a bias beyond 32 bits raises the scale of its weight, and a channel without weights keeps its bias", async () => {
    const w = dataOf(numbers([3, 3, 1, 1], 8)) as Float32Array;
    w.fill(1e-9, 0, 3).fill(0, 3, 6);
    const m = parse(
      `main (x: float32[1,3,8,8]) => (y: float32[1,3,8,8]) { w: float32[3,3,1,1] = …  b: float32[3] = …  y = Conv(x, w, b) }`,
      { weights: { w: tensor("float32", [3, 3, 1, 1], w), b: tensor("float32", [3], [5, 0.3, -0.2]) } },
    );
    const { model } = await run(int8(), m, host(inputs(4, 1)));
    const codes = dataOf(await resident(model.graph.weights.get("b_quantized")!)) as Int32Array;
    expect(Math.max(...codes.map(Math.abs))).toBeLessThanOrEqual(2 ** 30 + 1);
    expect(await sqnr(m, model, inputs(4, 60))).toBeGreaterThan(40);
  });

  test("targets without integers, and values that are not finite, are named", async () => {
    const bare = { ...host(inputs(2, 1)), target: { ...target(), quantization: undefined as never } };
    await expect(run(int8(), network(), bare)).rejects.toThrow(/acme-npu does not compute in integers/);
    const broken = [{ x: tensor("float32", [1, 3, 8, 8], new Float32Array(192).fill(Number.NaN)) }];
    await expect(run(int8(), network(), host(broken))).rejects.toThrow(/samples of x: sample 0 holds NaN/);
  });
});

/** Two layers whose channels differ by factors of up to 256, which cancel. */
const factors = [1, 256, 1 / 64, 16, 1 / 256, 4];
function uneven(factors: readonly number[]): Model {
  const w1 = (dataOf(numbers([6, 3, 3, 3], 1)) as Float32Array).map((x, i) => x * factors[Math.floor(i / 27)]!);
  const w2 = (dataOf(numbers([4, 6, 3, 3], 3)) as Float32Array).map((x, i) => x / factors[Math.floor(i / 9) % 6]!);
  return parse(
    `main (x: float32[1,3,8,8]) => (y: float32[1,4,2,2]) {
      w1: float32[6,3,3,3] = …  b1: float32[6] = …  w2: float32[4,6,3,3] = …
      a = Conv<pads=[1,1,1,1]>(x, w1, b1)
      r = Relu(a)
      p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r)
      y = Conv(p, w2)
    }`,
    {
      weights: {
        w1: tensor("float32", [6, 3, 3, 3], w1),
        b1: tensor(
          "float32",
          [6],
          factors.map((f) => f * 0.1),
        ),
        w2: tensor("float32", [4, 6, 3, 3], w2),
      },
    },
  );
}

describe("equalize", () => {
  test("changes not a bit of what the model computes, and makes integers fit uneven channels", async () => {
    const before = uneven(factors);
    const { model, report } = await run(equalize(), before, {});
    expect(report.passes[0]!.done.map((d) => d.name)).toEqual(["w1", "w2"]);
    const [sample] = inputs(1, 9);
    const [want, got] = await Promise.all([before, model].map((m) => evaluate(m, sample!)));
    expect([...dataOf(got!["y"]!)]).toEqual([...dataOf(want!["y"]!)]);

    const options = { granularity: "tensor" } as const;
    const plain = await run(int8(options), before, host(inputs(8, 100)));
    const even = await run([equalize(), int8(options)], before, host(inputs(8, 100)));
    const ideal = uneven(factors.map(() => 1));
    const best = await sqnr(ideal, (await run(int8(options), ideal, host(inputs(8, 100)))).model, inputs(4, 500));
    expect(await sqnr(before, plain.model, inputs(4, 500))).toBeLessThan(best - 10);
    expect(await sqnr(before, even.model, inputs(4, 500))).toBeGreaterThan(best - 1);
  });

  test("leaves channels alone that something else sees", async () => {
    const m = parse(
      `main (x: float32[1,3,8,8]) => (y: float32[1,3,8,8], a: float32[1,3,8,8]) {
        w1: float32[3,3,1,1] = …  w2: float32[3,3,1,1] = …
        a = Conv(x, w1)
        r = Relu(a)
        y = Conv(r, w2)
      }`,
      { weights: { w1: numbers([3, 3, 1, 1], 1, 0, 100), w2: numbers([3, 3, 1, 1], 2) } },
    );
    expect((await run(equalize(), m, {})).model).toBe(m);
  });
});

describe("biasCorrection", () => {
  test("takes the mean error of rounded weights out of what a layer gives", async () => {
    // Inputs of one sign that differ from channel to channel: rounding errors add up to a shift.
    const m = parse(
      `main (x: float32[1,16,4,4]) => (y: float32[1,4,4,4]) { w: float32[4,16,1,1] = …  b: float32[4] = …  y = Conv(x, w, b) }`,
      { weights: { w: numbers([4, 16, 1, 1], 3), b: numbers([4], 4) } },
    );
    const samples = inputs(16, 40, [1, 16, 4, 4], 0, 1).map(({ x }) => ({
      x: tensor(
        "float32",
        [1, 16, 4, 4],
        (dataOf(x) as Float32Array).map((v, i) => (v + 1) * 1.5 ** Math.floor(i / 16)),
      ),
    }));
    /** Mean over channels of the squared mean error. */
    const shift = async (passes: Parameters<typeof run>[0]) => {
      const { model } = await run(passes, m, host(samples, { activations: { ...unsigned, dtype: "uint16" } }));
      const means = new Float64Array(4);
      for (const sample of samples) {
        const [x, y] = await Promise.all(
          [m, model].map(async (g) => dataOf((await evaluate(g, sample))["y"]!) as Float32Array),
        );
        x!.forEach((v, i) => void (means[Math.floor(i / 16)]! += (y![i]! - v) / samples.length / 16));
      }
      return means.reduce((sum, v) => sum + v * v, 0);
    };
    expect(await shift([biasCorrection(), int8()])).toBeLessThan((await shift(int8())) / 25);
  });
});
