import { toCodes } from "@pare/ops/kernels";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { affineOf, codeLimits } from "../weights/affine.ts";
import { layoutOf } from "../weights/layout.ts";
import { balance } from "./balance.ts";

describe("balance", () => {
  const weights = fc
    .record({
      rows: fc.integer({ min: 1, max: 12 }),
      columns: fc.integer({ min: 1, max: 40 }),
      axis: fc.integer({ min: 0, max: 1 }),
      seed: fc.integer(),
      symmetric: fc.boolean(),
      bits: fc.constantFrom(4, 7, 8),
    })
    .map(({ rows, columns, seed, ...rest }) => {
      let state = seed;
      const data = Float32Array.from({ length: rows * columns }, () => {
        state = (Math.imul(state, 1664525) + 1013904223) | 0;
        return state / 2 ** 31 + 0.2;
      });
      return { shape: [rows, columns], data, ...rest };
    });

  test("errors of a channel add up to half a code at most, and no code is further than one from its value", () => {
    fc.assert(
      fc.property(weights, ({ shape, data, axis, symmetric, bits }) => {
        const layout = layoutOf(shape, { kind: "channel", axis });
        const ranges = {
          min: new Float32Array(layout.groups).fill(Infinity),
          max: new Float32Array(layout.groups).fill(-Infinity),
        };
        const groupOf = (i: number) => (axis === 0 ? Math.floor(i / shape[1]!) : i % shape[1]!);
        data.forEach((v, i) => {
          ranges.min[groupOf(i)] = Math.min(ranges.min[groupOf(i)]!, v);
          ranges.max[groupOf(i)] = Math.max(ranges.max[groupOf(i)]!, v);
        });
        const affine = affineOf(ranges, codeLimits(bits, symmetric), symmetric, "w");
        const { min, max } = codeLimits(bits, symmetric);
        const runs = layout.runs(0, data.length);
        const codes = toCodes("int8", data, runs, affine);
        balance(codes, data, runs, affine, codeLimits(bits, symmetric));
        const sums = new Float64Array(layout.groups);
        data.forEach((v, i) => {
          const g = groupOf(i);
          const error = codes[i]! - affine.zeroPoint[g]! - v / affine.scale[g]!;
          expect(Math.abs(error)).toBeLessThanOrEqual(1.001);
          expect(codes[i]! >= min && codes[i]! <= max).toBe(true);
          sums[g]! += error;
        });
        // What would still have to move stands at the end of the range.
        const isStuck = (q: number, error: number) => (error > 0 ? q <= min : q >= max);
        sums.forEach((sum, g) => {
          if (Math.abs(sum) <= 0.501) return;
          data.forEach((v, i) => {
            if (groupOf(i) !== g) return;
            const error = codes[i]! - affine.zeroPoint[g]! - v / affine.scale[g]!;
            expect(Math.sign(error) !== Math.sign(sum) || isStuck(codes[i]!, error)).toBe(true);
          });
        });
      }),
      { numRuns: 300 },
    );
  });
});
