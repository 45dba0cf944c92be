import {
  dataOf,
  type Model,
  type ResidentTensor,
  resident,
  run,
  samplesFrom,
  type Target,
  tensor,
  viewOf,
} from "@pare/core";
import { parse } from "@pare/core/parse";
import { evaluate } from "@pare/ops/evaluate";
import { gather } from "@pare/ops/observe";
import { evaluatorRuntime } from "@pare/testing";
import { describe, expect, test } from "vitest";
import { inputs, numbers } from "../test/acme.ts";
import { litertInt8 } from "../test/litert-int8.ts";
import { tensorrtInt8 } from "../test/tensorrt-int8.ts";
import { int8 } from "./int8.ts";

const samples = inputs(8, 100);
const quantized = async (m: Model, target: Target) =>
  (await run(int8(), m, { runtime: evaluatorRuntime, samples: samplesFrom(samples), gather, target })).model;

const weightIn = (m: Model, name: string) => m.graph.weights.get(name)!;
const list = async (m: Model, name: string) =>
  Array.from(dataOf((await resident(weightIn(m, name))) as ResidentTensor) as Iterable<number>, Number);
/** Scale and zero point of the codes that a value is decoded from. */
async function codesOf(m: Model, value: string) {
  const [, scale, zeroPoint] = viewOf(m).main.producer(value)!.inputs;
  return { scale: (await list(m, scale!))[0], zeroPoint: (await list(m, zeroPoint!))[0] };
}
const maker = (m: Model, value: string) => viewOf(m).main.producer(value)?.op;
const inputOf = (m: Model, output: string, index: number) => viewOf(m).main.producer(output)!.inputs[index]!;

async function sqnr(a: Model, b: Model): Promise<number> {
  let [signal, noise] = [0, 0];
  for (const sample of inputs(4, 500)) {
    const [want, got] = await Promise.all(
      [a, b].map(async (m) => dataOf((await evaluate(m, sample))["y"]!) as Float32Array),
    );
    want!.forEach((v, i) => {
      signal += v * v;
      noise += (v - got![i]!) ** 2;
    });
  }
  return 10 * Math.log10(signal / noise);
}

describe("litert-int8", () => {
  test("a classifier: channels of convolutions, one scale for a matrix, pooled codes kept, probabilities fixed", async () => {
    const w = dataOf(numbers([6, 3, 3, 3], 1)) as Float32Array;
    w.fill(0, 0, 27);
    const m = parse(
      `main (x: float32[1,3,8,8]) => (y: float32[1,5]) {
        w: float32[6,3,3,3] = …  b: float32[6] = …  v: float32[5,96] = …  c: float32[5] = …
        a = Conv<pads=[1,1,1,1]>(x, w, b)
        r = Relu(a)
        p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r)
        f = Flatten(p)
        g = Gemm<transB=1>(f, v, c)
        s = Softmax(g)
        y = Mul(s, s)
      }`,
      {
        weights: {
          w: tensor("float32", [6, 3, 3, 3], w),
          b: numbers([6], 2),
          v: numbers([5, 96], 3, -0.2, 0.2),
          c: numbers([5], 4),
        },
      },
    );
    // What only carries is taken between operators that compute: the square stands for one that reads probabilities.
    const scheme = litertInt8.quantization!;
    const target = {
      ...litertInt8,
      quantization: {
        ...scheme,
        operators: new Map([...scheme.operators, ["Mul", { role: "compute", output: "own" }] as const]),
      },
    };
    const made = await quantized(m, target);
    for (const [name, t] of made.graph.weights)
      if (name.endsWith("_quantized") && !/^[bc]_/.test(name)) {
        expect(t.dtype).toBe("int8");
        expect(Math.min(...(await list(made, name)))).toBeGreaterThanOrEqual(-127);
      }
    expect(["w_scale", "v_scale"].map((s) => weightIn(made, s).shape)).toEqual([[6], []]);
    expect(weightIn(made, "b_quantized").dtype).toBe("int32");
    expect(await codesOf(made, "s")).toEqual({ scale: 1 / 256, zeroPoint: -128 });
    expect(await codesOf(made, "p")).toEqual(await codesOf(made, "r"));
    // A channel without weights has a scale under which its bias fits.
    expect((await list(made, "w_scale"))[0]).toBeGreaterThan(0);
    expect(Math.max(...(await list(made, "b_quantized")).map(Math.abs))).toBeLessThanOrEqual(2 ** 30 + 1);
    expect(await sqnr(m, made)).toBeGreaterThan(25);
  });

  test("what has fixed codes is not joined with what has others", async () => {
    const m = parse(
      `main (x: float32[1,3,8,8]) => (y: float32[1,2,8,8]) {
        w: float32[3,3,1,1] = …  v: float32[2,6,1,1] = …
        a = Conv(x, w)
        s = Sigmoid(a)
        c = Concat<axis=1>(s, a)
        y = Conv(c, v)
      }`,
      { weights: { w: numbers([3, 3, 1, 1], 1, -9, 9), v: numbers([2, 6, 1, 1], 2) } },
    );
    const made = await quantized(m, litertInt8);
    expect(await codesOf(made, "s")).toEqual({ scale: 1 / 256, zeroPoint: -128 });
    expect((await codesOf(made, "a")).scale).toBeGreaterThan(0.05);
    expect(await sqnr(m, made)).toBeGreaterThan(30);
  });
});

describe("tensorrt-int8", () => {
  const residual = () =>
    parse(
      `main (x: float32[1,3,8,8]) => (y: float32[1,5]) {
        w1: float32[6,3,3,3] = …  b1: float32[6] = …  w2: float32[6,6,3,3] = …  b2: float32[6] = …  w3: float32[6,5] = …
        a = Conv<pads=[1,1,1,1]>(x, w1, b1)
        r = Relu(a)
        c = Conv<pads=[1,1,1,1]>(r, w2, b2)
        s = Add(c, r)
        t = Relu(s)
        p = GlobalAveragePool(t)
        f = Flatten(p)
        y = MatMul(f, w3)
      }`,
      {
        weights: {
          w1: numbers([6, 3, 3, 3], 1),
          b1: numbers([6], 2),
          w2: numbers([6, 6, 3, 3], 3),
          b2: numbers([6], 4),
          w3: numbers([6, 5], 5),
        },
      },
    );

  test("a residual block: codes before what computes, of an addition only on the other branch, zero points 0, biases float", async () => {
    const m = residual();
    const made = await quantized(m, tensorrtInt8);
    expect(maker(made, inputOf(made, "s", 0))).toBe("Conv");
    expect(maker(made, inputOf(made, "s", 1))).toBe("DequantizeLinear");
    // One pair of codes for all that reads a value.
    expect(inputOf(made, "c", 0)).toBe(inputOf(made, "s", 1));
    for (const [output, bias] of [
      ["a", "b1"],
      ["c", "b2"],
    ] as const)
      expect(inputOf(made, output, 2)).toBe(bias);
    for (const n of made.graph.nodes.filter((n) => n.op === "QuantizeLinear")) {
      expect(await list(made, n.inputs[2]!)).toEqual([0]);
      expect(weightIn(made, n.inputs[1]!).shape).toEqual([]);
      expect(["Conv", "MatMul"]).not.toContain(maker(made, n.inputs[0]!));
    }
    for (const name of made.graph.weights.keys())
      if (name.endsWith("_scale")) expect(Math.min(...(await list(made, name)))).toBeGreaterThan(0);
    expect(await sqnr(m, made)).toBeGreaterThan(30);
  });

  test("without residuals in its vocabulary the addition would stay apart", async () => {
    const scheme = { ...tensorrtInt8.quantization!, fusesResidual: false };
    const made = await quantized(residual(), { ...tensorrtInt8, quantization: scheme });
    expect(inputOf(made, "s", 1)).toBe("r");
  });

  test("probabilities that a product reads have the codes of probabilities, and are not computed in integers", async () => {
    const m = parse(
      `main (x: float32[1,3,8,8]) => (y: float32[1,3,8,8]) {
        w: float32[8,8] = …
        k = MatMul(x, w)
        s = Softmax(k)
        y = MatMul(s, x)
      }`,
      { weights: { w: numbers([8, 8], 1) } },
    );
    const made = await quantized(m, tensorrtInt8);
    expect((await codesOf(made, inputOf(made, "y", 0))).scale).toBe(Math.fround(1 / 127));
    expect(maker(made, inputOf(made, "s", 0))).toBe("MatMul");
  });
});
