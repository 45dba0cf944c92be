import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Granularity, layoutOf } from "./layout.ts";

/** The group of each element by the definition: from its index along every axis. */
function groupsByDefinition(shape: readonly number[], g: Granularity): number[] {
  const count = shape.reduce((n, d) => n * d, 1);
  const scaleShape = g.kind === "block" ? shape.map((d, i) => (i === g.axis ? Math.ceil(d / g.size) : d)) : [];
  return Array.from({ length: count }, (_, flat) => {
    let rest = flat;
    const index = shape
      .toReversed()
      .map((d) => {
        const i = rest % d;
        rest = (rest - i) / d;
        return i;
      })
      .toReversed();
    if (g.kind === "tensor") return 0;
    if (g.kind === "channel") return index[g.axis]!;
    return index
      .map((i, axis) => (axis === g.axis ? Math.floor(i / g.size) : i))
      .reduce((sum, i, axis) => sum * scaleShape[axis]! + i, 0);
  });
}

describe("layoutOf", () => {
  const cases = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 }).chain((shape) =>
    fc.record({
      shape: fc.constant(shape),
      axis: fc.integer({ min: 0, max: shape.length - 1 }),
      kind: fc.constantFrom("tensor" as const, "channel" as const, "block" as const),
      size: fc.integer({ min: 1, max: 4 }),
      piece: fc.integer({ min: 1, max: 50 }),
    }),
  );

  test("puts each element in the group that its index says, in whatever pieces it is asked", () => {
    fc.assert(
      fc.property(cases, ({ shape, axis, kind, size, piece }) => {
        const g: Granularity =
          kind === "tensor" ? { kind } : kind === "channel" ? { kind, axis } : { kind, axis, size };
        const expected = groupsByDefinition(shape, g);
        const layout = layoutOf(shape, g);
        const got: number[] = [];
        for (let start = 0; start < expected.length; start += piece) {
          const count = Math.min(piece, expected.length - start);
          layout.runs(
            start,
            count,
          )((from, to, group, width, offset) => {
            expect(from).toBe(got.length - start);
            for (let i = 0; i < to - from; i++) got.push(group + ((offset + i) % width));
          });
        }
        expect(got).toEqual(expected);
        expect(layout.groups).toBe(Math.max(...expected) + 1);
        expect(layout.scaleShape.reduce((n, d) => n * d, 1)).toBe(layout.groups);
      }),
    );
  });
});
