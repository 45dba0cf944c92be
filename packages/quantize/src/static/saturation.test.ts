import { dataOf, type Model, type ResidentTensor, run, samplesFrom } from "@pare/core";
import { parse } from "@pare/core/parse";
import { evaluate } from "@pare/ops/evaluate";
import { evaluatorRuntime } from "@pare/testing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { host, inputs, numbers } from "../test/acme.ts";
import { int8 } from "./int8.ts";
import { emulateSaturation } from "./saturation.ts";
import { convolutionCodes } from "./window-codes.ts";

/** Weights whose neighbours have the same sign, and inputs that are mostly large: sums of pairs are. */
const large = (shape: readonly number[], seed: number) => numbers(shape, seed, 0.6, 1);
const network = (): Model =>
  parse(
    `main (x: float32[1,4,6,6]) => (y: float32[1,3]) {
      w: float32[6,4,3,3] = …  v: float32[3,216] = …
      a = Conv<pads=[1,1,1,1]>(x, w)
      f = Flatten(a)
      y = Gemm<transB=1>(f, v)
    }`,
    { weights: { w: large([6, 4, 3, 3], 1), v: large([3, 216], 2) } },
  );
const samples = inputs(4, 30, [1, 4, 6, 6], 0.5, 1);
const emulated = async (options: Parameters<typeof int8>[0]) => {
  const { model } = await run(int8(options), network(), host(samples));
  return { model, found: await emulateSaturation(model, { runtime: evaluatorRuntime, samples: samplesFrom(samples) }) };
};

/** What the Gemm of a model gives when sums of pairs saturate, by the definition of `vpmaddubsw`. */
async function saturating(m: Model, sample: { x: ResidentTensor }) {
  const gemm = m.graph.nodes.find((n) => n.op === "Gemm")!;
  const [x, w] = gemm.inputs.slice(0, 2).map((v) => m.graph.nodes.find((n) => n.outputs[0] === v)!.inputs);
  const values = await evaluate(m, sample, { outputs: [x![0]!, ...w!, "y"] });
  const list = (name: string) => Array.from(dataOf(values[name]!) as Iterable<number>, Number);
  const [codes, weights, scales] = [list(x![0]!), list(w![0]!), list(w![1]!)];
  const step = Array.from(dataOf(m.graph.weights.get(x![1]!) as ResidentTensor) as Iterable<number>, Number)[0]!;
  const zero = Array.from(dataOf(m.graph.weights.get(x![2]!) as ResidentTensor) as Iterable<number>, Number)[0]!;
  return list("y").map((exact, c) => {
    let sum = 0;
    for (let k = 0; k < codes.length; k += 2) {
      const pair = codes[k]! * weights[c * codes.length + k]! + codes[k + 1]! * weights[c * codes.length + k + 1]!;
      sum += Math.max(-32768, Math.min(32767, pair));
    }
    const zeros = zero * weights.slice(c * codes.length, (c + 1) * codes.length).reduce((a, b) => a + b, 0);
    return { exact, got: (sum - zeros) * step * scales[scales.length === 1 ? 0 : c]! };
  });
}

describe("emulateSaturation", () => {
  test("finds the damage that sums of 16 bits do, which reduceRange prevents", async () => {
    const { model, found } = await emulated({});
    expect(found.map((f) => f.op).sort()).toEqual(["Conv", "Gemm"]);
    for (const f of found) {
      expect(f.share).toBeGreaterThan(0.3);
      expect(f.sqnrDb).toBeLessThan(20);
    }
    let [signal, noise] = [0, 0];
    for (const sample of samples)
      for (const { exact, got } of await saturating(model, sample)) {
        signal += exact * exact;
        noise += (exact - got) ** 2;
      }
    expect(found.find((f) => f.op === "Gemm")!.sqnrDb).toBeCloseTo(10 * Math.log10(signal / noise), 2);

    for (const f of (await emulated({ reduceRange: true })).found)
      expect(f).toMatchObject({ share: 0, sqnrDb: Number.POSITIVE_INFINITY });
  });

  test("has nothing to say of codes that are signed, of depthwise convolutions and of float models", async () => {
    expect(await emulateSaturation(network(), { runtime: evaluatorRuntime, samples: samplesFrom(samples) })).toEqual(
      [],
    );
    const signed = { activations: { dtype: "int8", symmetric: false, granularity: "tensor" } } as const;
    const { model } = await run(int8(), network(), host(samples, signed));
    expect(await emulateSaturation(model, { runtime: evaluatorRuntime, samples: samplesFrom(samples) })).toEqual([]);
  });

  test("the numbers under a window are those that a convolution sums", async () => {
    const shapes = fc.record({
      channels: fc.integer({ min: 1, max: 3 }),
      group: fc.integer({ min: 1, max: 2 }),
      size: fc.tuple(fc.integer({ min: 3, max: 6 }), fc.integer({ min: 3, max: 6 })),
      kernel: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 })),
      strides: fc.tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 2 })),
      pads: fc.tuple(...[0, 1, 2, 3].map(() => fc.integer({ min: 0, max: 2 }))),
      autoPad: fc.constantFrom("NOTSET", "SAME_UPPER", "SAME_LOWER"),
      seed: fc.integer(),
    });
    await fc.assert(
      fc.asyncProperty(shapes, async ({ channels, group, size, kernel, strides, pads, autoPad, seed }) => {
        const shape = [2, channels * group, ...size];
        const filter = [2 * group, channels, ...kernel];
        const padded = autoPad === "NOTSET" ? `pads=[${pads}]` : `auto_pad="${autoPad}"`;
        const m = parse(
          `main (x: float32[${shape}]) => (y) { w: float32[${filter}] = …  y = Conv<strides=[${strides}], group=${group}, ${padded}>(x, w) }`,
          { weights: { w: numbers(filter, seed) } },
        );
        const x = numbers(shape, seed + 1);
        const { y } = await evaluate(m, { x });
        const w = dataOf(numbers(filter, seed)) as Float32Array;
        const window = { group, columns: 2 * group, perGroup: channels, kernel, strides, dilations: undefined };
        const at = convolutionCodes(dataOf(x) as Float32Array, shape, y!.shape, {
          ...window,
          pads,
          autoPad,
          padding: 0,
        });
        const area = kernel[0]! * kernel[1]!;
        const outArea = y!.shape[2]! * y!.shape[3]!;
        (dataOf(y as ResidentTensor<"float32">) as Float32Array).forEach((want, i) => {
          const column = Math.floor(i / outArea) % (2 * group);
          let sum = 0;
          for (let k = 0; k < channels * area; k++)
            sum += at(i, k) * w[(column * channels + (k % channels)) * area + Math.floor(k / channels)]!;
          expect(sum).toBeCloseTo(want, 4);
        });
      }),
      { numRuns: 60 },
    );
  });

  test("wants a sample", async () => {
    const { model } = await run(int8(), network(), host(samples));
    const none = { runtime: evaluatorRuntime, samples: samplesFrom([]) };
    await expect(emulateSaturation(model, none)).rejects.toThrow(/not one sample/);
  });
});
