import { dataOf, type Model, type ResidentTensor, resident, run, tensor, viewOf } from "@pare/core";
import { parse } from "@pare/core/parse";
import { describe, expect, test } from "vitest";
import { host, inputs, numbers } from "../test/acme.ts";
import { biasCorrection } from "./bias-correction.ts";
import { int8 } from "./int8.ts";

/** Three convolutions, one after the other. */
const network = (): Model =>
  parse(
    `main (x: float32[1,3,8,8]) => (y: float32[1,4,8,8]) {
      w1: float32[6,3,1,1] = …  w2: float32[6,6,3,3] = …  w3: float32[4,6,1,1] = …
      a = Conv(x, w1)
      b = Conv<pads=[1,1,1,1]>(a, w2)
      y = Conv(b, w3)
    }`,
    { weights: { w1: numbers([6, 3, 1, 1], 1), w2: numbers([6, 6, 3, 3], 2), w3: numbers([4, 6, 1, 1], 3) } },
  );

type Overrides = NonNullable<Parameters<typeof int8>[0]>["overrides"];
const made = async (overrides: Overrides, samples = inputs(4, 1)) =>
  (await run(int8({ overrides }), network(), host(samples))).model;
const numbersIn = async (m: Model, name: string) =>
  Array.from(dataOf((await resident(m.graph.weights.get(name)!)) as ResidentTensor<"int8">), Number);
const largest = async (m: Model, name: string) => Math.max(...(await numbersIn(m, name)).map(Math.abs));

describe("overrides of int8", () => {
  test("a layer is left in float by its name, its output or its weight", async () => {
    for (const name of ["w2", "b", "*2"]) {
      const m = await made([{ names: [name], skip: true }]);
      expect([...m.graph.weights.keys()].filter((w) => w.endsWith("_quantized"))).toEqual([
        "w1_quantized",
        "w3_quantized",
      ]);
      expect(viewOf(m).main.producer("w2")).toBeUndefined();
    }
  });

  test("bits, scale and rounding of a weight are its layer's own", async () => {
    const m = await made([
      { names: ["w*"], bits: 5 },
      { names: ["w2"], bits: 4, granularity: "tensor" },
    ]);
    expect([await largest(m, "w1_quantized"), await largest(m, "w2_quantized")]).toEqual([15, 7]);
    expect(["w1_scale", "w2_scale"].map((s) => m.graph.weights.get(s)!.shape)).toEqual([[6], []]);
    const nearest = await made([{ names: ["w2"], rounding: "nearest" }]);
    expect(await numbersIn(nearest, "w1_quantized")).toEqual(await numbersIn(await made([]), "w1_quantized"));
    expect(await numbersIn(nearest, "w2_quantized")).not.toEqual(await numbersIn(await made([]), "w2_quantized"));
  });

  test("a later override says more than an earlier one, and leaves the rest of it", async () => {
    const m = await made([
      { names: ["w2"], bits: 4, granularity: "tensor" },
      { names: ["w2"], bits: 6 },
    ]);
    expect(await largest(m, "w2_quantized")).toBe(31);
    expect(m.graph.weights.get("w2_scale")!.shape).toEqual([]);
  });

  test("the range of what a layer reads is found in its own way", async () => {
    const samples = inputs(4, 1);
    const spike = Float32Array.from(dataOf(samples[1]!.x));
    spike[77] = 40;
    samples[1] = { x: tensor("float32", [1, 3, 8, 8], spike) };
    const stepOf = async (overrides: Overrides) => (await numbersIn(await made(overrides, samples), "x_scale"))[0]!;
    expect(await stepOf([])).toBeGreaterThan(40 / 256);
    expect(await stepOf([{ names: ["w1"], calibration: "percentile", percentile: 99 }])).toBeLessThan(3 / 256);
    expect(await stepOf([{ names: ["w2"], calibration: "percentile", percentile: 99 }])).toBeGreaterThan(40 / 256);
  });

  test("symmetric codes have zero in their middle", async () => {
    const positive = inputs(4, 1, [1, 3, 8, 8], 0, 1);
    const zeroOf = async (overrides: Overrides) =>
      (await numbersIn(await made(overrides, positive), "x_zero_point"))[0]!;
    expect(await zeroOf([])).toBe(0);
    expect(await zeroOf([{ names: ["a"], symmetric: true }])).toBe(128);
    expect(await zeroOf([{ names: ["b"], symmetric: true }])).toBe(0);
  });

  test("passes that prepare a model heed them too", async () => {
    const { report } = await run(
      biasCorrection({ overrides: [{ names: ["w2"], skip: true }] }),
      network(),
      host(inputs(4, 1)),
    );
    expect(report.passes[0]!.done.map((d) => d.name)).toEqual(["a", "y"]);
  });
});
