import fc from "fast-check";
import { expect, test } from "vitest";
import { costOf, type End, type LayoutProblem, planLayout, type Side } from "./plan.ts";

/** The least cost of all choices. */
function least(problem: LayoutProblem): number {
  let found = Number.POSITIVE_INFINITY;
  for (let bits = 0; bits < 1 << problem.operators; bits++) {
    const sides = Array.from({ length: problem.operators }, (_, i) => ((bits >> i) & 1) as Side);
    found = Math.min(found, costOf(problem, sides));
  }
  return found;
}

/** Graphs of up to 12 operators; each value has one writer and up to four readers. */
const problems = fc.integer({ min: 1, max: 12 }).chain((operators) => {
  const side = fc.constantFrom<Side>(0, 1).map((s): End => ({ side: s }));
  const operator = fc.nat(operators - 1).map((o): End => ({ operator: o }));
  const end = fc.oneof({ weight: 1, arbitrary: side }, { weight: 3, arbitrary: operator });
  const value = fc.record({
    cost: fc.integer({ min: 0, max: 9 }),
    writer: end,
    readers: fc.array(end, { minLength: 1, maxLength: 4 }),
  });
  return fc.record({ operators: fc.constant(operators), values: fc.array(value, { maxLength: 16 }) });
});

test("costs as little as the best of all choices", () => {
  fc.assert(
    fc.property(problems, (problem) => {
      expect(costOf(problem, planLayout(problem))).toBe(least(problem));
    }),
    { numRuns: 500 },
  );
});

test("plans a chain of 100,000 operators", () => {
  const operators = 100_000;
  const chain = Array.from({ length: operators - 1 }, (_, i) => ({
    cost: 1,
    writer: { operator: i },
    readers: [{ operator: i + 1 }],
  }));
  const ends = [
    { cost: 2, writer: { side: 1 as const }, readers: [{ operator: 0 }] },
    { cost: 2, writer: { operator: operators - 1 }, readers: [{ side: 0 as const }] },
  ];
  const problem = { operators, values: [...chain, ...ends] };
  expect(costOf(problem, planLayout(problem))).toBe(1);
});
