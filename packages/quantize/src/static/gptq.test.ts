import fc from "fast-check";
import { expect, test } from "vitest";
import { gptqCodes } from "./gptq.ts";

/** Inputs that go together: mixtures of few sources, and a mean. */
const layers = fc
  .record({
    seed: fc.integer(),
    inputs: fc.integer({ min: 2, max: 24 }),
    outputs: fc.integer({ min: 1, max: 5 }),
    sources: fc.integer({ min: 1, max: 4 }),
    mean: fc.double({ min: 0, max: 3, noNaN: true }),
  })
  .map(({ seed, inputs, outputs, sources, mean }) => {
    let state = seed;
    const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 31 - 1;
    const mix = Array.from({ length: inputs * sources }, next);
    const vectors = Array.from({ length: 64 }, () => {
      const source = Array.from({ length: sources }, next);
      return Float64Array.from(
        { length: inputs },
        (_, i) => mean + 0.2 * next() + source.reduce((sum, s, k) => sum + s * mix[i * sources + k]!, 0),
      );
    });
    const gram = Float32Array.from(
      { length: inputs * inputs },
      (_, at) => vectors.reduce((sum, x) => sum + x[Math.floor(at / inputs)]! * x[at % inputs]!, 0) / vectors.length,
    );
    const data = Float32Array.from({ length: inputs * outputs }, next);
    const scale = Float32Array.from(
      { length: outputs },
      (_, o) => Math.max(...data.subarray(o * inputs, (o + 1) * inputs).map(Math.abs)) / 7,
    );
    return { inputs, outputs, vectors, gram, data, scale };
  });

type LayerOf<A> = A extends fc.Arbitrary<infer T> ? T : never;

/** Mean squared error of what a layer gives with codes. */
function errorOf({ inputs, outputs, vectors, data, scale }: LayerOf<typeof layers>, codes: ArrayLike<number>): number {
  let sum = 0;
  for (const x of vectors)
    for (let o = 0; o < outputs; o++) {
      let e = 0;
      for (let i = 0; i < inputs; i++) e += x[i]! * (codes[o * inputs + i]! * scale[o]! - data[o * inputs + i]!);
      sum += e * e;
    }
  return sum / vectors.length;
}

const limits = { min: -8, max: 7 };
const codesOf = (layer: LayerOf<typeof layers>, transposed = false) => {
  const { inputs, outputs, gram, scale } = layer;
  const at = (o: number, i: number) => (transposed ? i * outputs + o : o * inputs + i);
  const data = new Float32Array(layer.data.length);
  const groups = new Int32Array(data.length);
  for (let o = 0; o < outputs; o++)
    for (let i = 0; i < inputs; i++) {
      data[at(o, i)] = layer.data[o * inputs + i]!;
      groups[at(o, i)] = o;
    }
  const codes = gptqCodes(
    data,
    { inputs, outputs, at },
    gram,
    { scale, zeroPoint: new Int32Array(outputs) },
    groups,
    limits,
  );
  return Int8Array.from(codes, (_, k) => codes[at(Math.floor(k / inputs), k % inputs)]!);
};

test("what a layer gives is closer than with each weight rounded by itself", () => {
  let [ours, nearest] = [0, 0];
  fc.assert(
    fc.property(layers, (layer) => {
      const codes = codesOf(layer);
      for (const c of codes) expect(c >= limits.min && c <= limits.max).toBe(true);
      const rounded = layer.data.map((w, k) => Math.round(w / layer.scale[Math.floor(k / layer.inputs)]!));
      ours += Math.log(errorOf(layer, codes) + 1e-12);
      nearest += Math.log(errorOf(layer, rounded) + 1e-12);
      expect(codesOf(layer, true)).toEqual(codes);
    }),
    { numRuns: 200 },
  );
  // On average over the layers the error is a third at most.
  expect(Math.exp((ours - nearest) / 200)).toBeLessThan(1 / 3);
});

test("inputs that do not go together leave nearest rounding, and inputs that are always zero do no harm", () => {
  const gram = Float32Array.of(1, 0, 0, 0, 4, 0, 0, 0, 0);
  const data = Float32Array.of(0.26, 0.74, -0.6, 1.4, -1.6, 0.4);
  const codes = gptqCodes(
    data,
    { inputs: 3, outputs: 2, at: (o, i) => 3 * o + i },
    gram,
    { scale: Float32Array.of(0.5), zeroPoint: Int32Array.of(0) },
    new Int32Array(6),
    limits,
  );
  expect([...codes]).toEqual([...data].map((x) => Math.round(x / 0.5)));
});
