import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { generated } from "../../scripts/compile-kernels.mjs";
import { type CodeFormat, codeFormats, minMax, type Runs, toCodes } from "./groups.ts";
import { toHalf, zeroBelow } from "./maps.ts";
import { BLOCK, simd } from "./simd.ts";
import { absSum, countZeros, fixedStatistics, halfStatistics } from "./statistics.ts";

const w = simd();

const kinds = ["spread", "any bits", "ties", "subnormal", "huge", "odd"] as const;

/** Numbers of a kind, at an offset of `shift` elements in their buffer. */
function numbers(kind: (typeof kinds)[number], seed: number, count: number, shift: number): Float32Array {
  let state = seed;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state ^ (state >>> 15)) >>> 0;
  };
  const data = new Float32Array(new ArrayBuffer((count + shift) * 4), shift * 4, count);
  const bits = new Uint32Array(data.buffer, shift * 4, count);
  const unit = () => next() / 2 ** 31 - 1;
  const odd = [
    0,
    -0,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    1e-45,
    3.4028234663852886e38,
    65504,
    65520,
    1,
    -1,
  ];
  for (let i = 0; i < count; i++)
    if (kind === "spread") data[i] = unit() * 10 ** (unit() * 6);
    else if (kind === "any bits") bits[i] = next();
    else if (kind === "ties") data[i] = ((next() % 1024) - 512) / 2;
    else if (kind === "subnormal") bits[i] = (next() & 0x80ffffff) >>> 0;
    else if (kind === "huge") data[i] = unit() * 3.4e38;
    else data[i] = next() % 4 ? unit() : odd[next() % odd.length]!;
  return data;
}

/** Lengths 0 to 70, and around the block and the piece that tensors are read in. */
const lengths = fc.oneof(
  { weight: 20, arbitrary: fc.integer({ min: 0, max: 70 }) },
  { weight: 2, arbitrary: fc.integer({ min: BLOCK - 9, max: BLOCK + 9 }) },
  { weight: 1, arbitrary: fc.integer({ min: 2 ** 18 - 5, max: 2 ** 18 }) },
);

const arrays = fc
  .record({
    kind: fc.constantFrom(...kinds),
    seed: fc.integer(),
    count: lengths,
    shift: fc.integer({ min: 0, max: 5 }),
  })
  .map((spec) => {
    const data = numbers(spec.kind, spec.seed, spec.count, spec.shift);
    return Object.assign(data, { [fc.toStringMethod]: () => JSON.stringify(spec) });
  });

const holds = <T>(arbitrary: fc.Arbitrary<T>, law: (value: T) => void, numRuns = 150) =>
  fc.assert(fc.property(arbitrary, law), { numRuns, endOnFailure: true });

/** Fails unless both have the same numbers, bit by bit, but for the bits of NaN. */
function same(a: ArrayLike<number>, b: ArrayLike<number>): void {
  expect(a.length).toBe(b.length);
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) expect(a[i], `element ${i}`).toBe(b[i]);
}

/** The nearest whole number, of two the even one. */
function nearest(v: number): number {
  const low = Math.floor(v);
  if (!Number.isFinite(v) || v === low) return v;
  if (v - low !== 0.5) return v - low < 0.5 ? low : low + 1;
  return low % 2 === 0 ? low : low + 1;
}

/** The value of finite float16 bits. */
const halfValue = (h: number) =>
  (h & 0x8000 ? -1 : 1) * ((h >> 10) & 31 ? (1024 + (h & 1023)) * 2 ** (((h >> 10) & 31) - 25) : (h & 1023) * 2 ** -24);

const close = (a: number, b: number) => {
  if (Object.is(a, b) || a === b) return;
  expect(Math.abs(a - b) / Math.max(Math.abs(a), Math.abs(b))).toBeLessThan(1e-11);
};

test("what is committed is what kernels.wat compiles to", async () => {
  expect(readFileSync(new URL("kernels.gen.ts", import.meta.url), "utf8")).toBe(await generated());
});

test("this engine runs the kernels, and they are small enough to compile on a browser's main thread", async () => {
  expect(w).not.toBeNull();
  const { wasm } = await import("./kernels.gen.ts");
  expect(atob(wasm).length).toBeLessThan(4096);
});

test("where WebAssembly is forbidden the plain loops are used", async () => {
  vi.resetModules();
  vi.stubGlobal("WebAssembly", {
    Module: class {
      constructor() {
        throw new EvalError("refused by a content security policy");
      }
    },
  });
  try {
    const fresh = await import("../kernels.ts");
    expect((await import("./simd.ts")).simd()).toBeNull();
    expect(fresh.absSum(Float32Array.of(1, -2, 3))).toBe(6);
  } finally {
    vi.unstubAllGlobals();
  }
});

describe("maps", () => {
  test("zeroBelow: as the plain loop, as defined, and the source is not touched", () => {
    const limits = fc.oneof(
      fc.double({ min: 0, max: 10 }),
      fc.constantFrom(0, 0.5, 1, 65504, 1e-45, 1e-50, 3.5e38, Number.NaN, Number.POSITIVE_INFINITY),
    );
    holds(fc.tuple(arrays, limits), ([data, limit]) => {
      const before = data.slice();
      const got = zeroBelow(data, limit);
      same(got, zeroBelow(data, limit, null));
      same(data, before);
      same(
        got,
        before.map((v) => (Math.abs(v) < limit ? 0 : v)),
      );
      expect(got.buffer.byteLength).toBe(data.byteLength);
    });
  });

  test("toHalf: as the plain loop", () => {
    holds(arrays, (data) => same(toHalf(data), toHalf(data, undefined, null)));
  });

  test("toHalf: the nearest of all float16, ties to even", () => {
    holds(
      arrays.filter((a) => a.length < 100),
      (data) => {
        for (const [i, h] of toHalf(data).entries()) {
          const v = data[i]!;
          if (Number.isNaN(v)) expect(h & 0x7fff).toBeGreaterThan(0x7c00);
          else if (Math.abs(v) >= 65520) expect(h).toBe(v > 0 ? 0x7c00 : 0xfc00);
          else {
            const error = Math.abs(halfValue(h) - v);
            expect(Object.is(Math.sign(halfValue(h)), Math.sign(v)) || halfValue(h) === 0).toBe(true);
            for (const other of [h - 1, h + 1])
              if ((other & 0x7fff) < 0x7c00 && ((other ^ h) & 0x8000) === 0) {
                const there = Math.abs(halfValue(other) - v);
                expect(there > error || (there === error && h % 2 === 0)).toBe(true);
              }
          }
        }
      },
    );
  });
});

describe("statistics", () => {
  test("absSum: the same sum as the plain loop, and near that of one sweep", () => {
    holds(arrays, (data) => {
      const got = absSum(data);
      same([got], [absSum(data, null)]);
      close(
        got,
        data.reduce((sum, v) => sum + Math.abs(v), 0),
      );
    });
  });

  test("countZeros", () => {
    holds(arrays, (data) => {
      expect(countZeros(data)).toBe(data.filter((v) => v === 0).length);
      expect(countZeros(data, null)).toBe(countZeros(data));
    });
  });

  test("halfStatistics: the same as the plain loop, and as defined by toHalf", () => {
    holds(arrays, (data) => {
      const got = halfStatistics(data);
      expect(got).toEqual(halfStatistics(data, null));
      const halves = toHalf(data, undefined, null);
      expect(got.overflow).toBe(halves.filter((h) => (h & 0x7fff) >= 0x7c00).length);
      expect(got.largest).toBe(data.reduce((most, v) => Math.max(most, Number.isNaN(v) ? 0 : Math.abs(v)), 0));
      close(
        got.signal,
        data.reduce((sum, v) => sum + v * v, 0),
      );
      if (got.overflow > 0) expect(got.noise).toBe(Number.POSITIVE_INFINITY);
      else
        close(
          got.noise,
          data.reduce((sum, v, i) => sum + (v - halfValue(halves[i]!)) ** 2, 0),
        );
    });
  });

  test("fixedStatistics: the same as the plain loop, and as defined", () => {
    const parameters = fc.record({
      bits: fc.integer({ min: 0, max: 30 }),
      format: fc.constantFrom(...(Object.keys(codeFormats) as CodeFormat[])),
    });
    holds(fc.tuple(arrays, parameters), ([data, { bits, format }]) => {
      const { min, max } = codeFormats[format];
      const got = fixedStatistics(data, 2 ** bits, min, max);
      expect(got).toEqual(fixedStatistics(data, 2 ** bits, min, max, null));
      const codes = Array.from(data, (v) => nearest(v * 2 ** bits));
      expect(got.notFinite).toBe(data.filter((v) => !Number.isFinite(v)).length);
      expect(got.beyond).toBe(codes.filter((c) => c < min || c > max).length);
      expect(got.least).toBe(codes.reduce((least, c) => Math.min(least, Number.isNaN(c) ? 0 : c), 0) + 0);
      expect(got.largest).toBe(codes.reduce((most, c) => Math.max(most, Number.isNaN(c) ? 0 : c), 0));
      if (got.notFinite === 0)
        close(
          got.noise,
          data.reduce((sum, v, i) => sum + (v - codes[i]! / 2 ** bits) ** 2, 0),
        );
    });
  });
});

/** Elements in pieces of one group (width 1) or of rows of columns, with runs of all lengths. */
const grouped = fc
  .record({
    data: arrays,
    wide: fc.boolean(),
    groups: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 10, max: 300 })),
    lengths: fc.infiniteStream(fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 41, max: 40000 }))),
    seed: fc.nat(),
  })
  .map(({ data, wide, groups, lengths, seed }) => {
    const list: [number, number, number, number, number][] = [];
    for (let from = 0; from < data.length; ) {
      const to = Math.min(data.length, from + lengths.next().value!);
      const group = wide && list.length % 3 !== 2 ? 0 : (seed + list.length) % groups;
      const width = wide && list.length % 3 !== 2 ? groups : 1;
      list.push([from, to, group, width, (seed + list.length) % width]);
      from = to;
    }
    const runs: Runs = (visit) => {
      for (const run of list) visit(...run);
    };
    const groupOf = new Int32Array(data.length);
    for (const [from, to, group, width, offset] of list)
      for (let i = from; i < to; i++) groupOf[i] = group + ((offset + i - from) % width);
    return { data, runs, groupOf, groups, list };
  });

describe("groups", () => {
  test("minMax: as the plain loop, and as defined; NaN stays", () => {
    holds(grouped, ({ data, runs, groupOf, groups }) => {
      const empty = () => ({
        min: new Float32Array(groups).fill(Number.POSITIVE_INFINITY),
        max: new Float32Array(groups).fill(Number.NEGATIVE_INFINITY),
      });
      const [got, plain, defined] = [empty(), empty(), empty()];
      minMax(data, runs, got);
      minMax(data, runs, plain, null);
      for (const [i, g] of groupOf.entries()) {
        defined.min[g] = Math.min(defined.min[g]!, data[i]!);
        defined.max[g] = Math.max(defined.max[g]!, data[i]!);
      }
      same(got.min, defined.min);
      same(got.max, defined.max);
      expect(plain).toEqual(defined);
    });
  });

  test.each(Object.keys(codeFormats) as CodeFormat[])(
    "toCodes %s: as the plain loop, and as QuantizeLinear defines it",
    (format) => {
      holds(
        fc.tuple(grouped, fc.integer(), fc.boolean()),
        ([{ data, runs, groupOf, groups }, seed, asymmetric]) => {
          const { min, max } = codeFormats[format];
          const finite = numbers("spread", seed, groups, 0);
          const scale = finite.map((v, g) => (g % 3 === 0 ? 0.5 : Math.abs(v) || 1));
          const zeroPoint = Int32Array.from(finite, (v) =>
            asymmetric && format !== "int32" ? Math.max(min, Math.min(max, Math.round(v))) : 0,
          );
          const got = toCodes(format, data, runs, { scale, zeroPoint });
          const codes = Array.from(data, (v, i) => {
            const g = groupOf[i]!;
            const code = nearest(Math.fround(v / scale[g]!)) + zeroPoint[g]!;
            return Number.isNaN(code) ? 0 : Math.max(min, Math.min(max, code)) + 0;
          });
          const expected =
            format === "int4"
              ? Array.from(
                  { length: Math.ceil(codes.length / 2) },
                  (_, i) => (codes[2 * i]! & 15) | (((codes[2 * i + 1] ?? 0) & 15) << 4),
                )
              : codes;
          same(got, expected);
          same(toCodes(format, data, runs, { scale, zeroPoint }, null), expected);
        },
        120,
      );
    },
  );
});
