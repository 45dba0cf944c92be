import { viewOf } from "@pare/core";
import { describe, expect, test } from "vitest";
import { modelOfCase, operatorCases } from "./cases.ts";
import { evaluate } from "./evaluate.ts";
import { unfoldings } from "./gradient.ts";
import { decomposable, decompose } from "./lower.ts";
import { numbersOf } from "./numeric.ts";

/** Operators that are said in others on the same inputs, or stay for a reason. */
describe("decompose", () => {
  const tried = new Map<string, number>();
  const cases = operatorCases.filter(
    (c) => (decomposable.has(c.node.op) || unfoldings.has(c.node.op)) && c.node.op !== "Bernoulli",
  );

  test.each(cases.map((c) => [c.name, c] as const))("%s", async (_, c) => {
    const { model, inputs } = modelOfCase(c);
    const reasons: string[] = [];
    const plain = decompose(model, {
      wanted: () => true,
      unfoldings,
      onSkip: (_n, _v, reason) => reasons.push(reason),
    });
    if (reasons.length > 0) {
      expect(plain).toBe(model);
      expect(reasons[0]!.length).toBeGreaterThan(10);
      return;
    }
    tried.set(c.node.op, (tried.get(c.node.op) ?? 0) + 1);
    expect(viewOf(plain).graphs.flatMap((v) => v.graph.nodes.map((n) => n.op))).not.toContain(c.node.op);
    const [before, after] = [await evaluate(model, inputs), await evaluate(plain, inputs)];
    for (const [name, value] of Object.entries(before)) {
      const other = after[name]!;
      expect(other).toMatchObject({ dtype: value.dtype, shape: value.shape });
      const [a, b] = [numbersOf(value), numbersOf(other)];
      const far = Array.from(a).filter(
        (v, k) => !Object.is(v, b[k]) && !(Math.abs(v - b[k]!) <= 1e-4 * Math.max(1, Math.abs(v))),
      );
      expect(far).toEqual([]);
    }
  });

  test("every operator that has a case has one in which it is said in others", () => {
    expect([...new Set(cases.map((c) => c.node.op))].filter((op) => !tried.has(op))).toEqual([
      // Its axis has to be a constant, which inputs of a case are not.
      "CumProd",
    ]);
    expect(tried.size).toBeGreaterThan(15);
  });
});
