import { type Dim, isFloat, type Model, type ResidentTensor, viewOf } from "@pare/core";
import { describe, expect, test } from "vitest";
import { graphCases, type ModelCase, modelOfCase, operatorCases } from "../cases.ts";
import { inferTypes } from "../infer.ts";
import { numbersOf } from "../numeric.ts";
import { substitute } from "./dims.ts";

const cases = [...operatorCases.map(modelOfCase), ...graphCases].map((c, i) => [`${c.name} ${i}`, c] as const);

/** Cases whose shapes depend on values that no rule follows. */
const open = /^(Compress|Unique|NonMaxSuppression|Loop|SequenceEmpty|SplitToSequence|SequenceMap)\b/;

/** The model with all that it is given as constants. */
const known = ({ model, inputs }: ModelCase): Model => ({
  ...model,
  graph: {
    ...model.graph,
    inputs: [],
    weights: new Map([...model.graph.weights, ...Object.entries(inputs)]),
    outputs: model.graph.outputs.map(({ name }) => ({ name })),
  },
});

/** The model with all floats that it is given of free dimensions, `x0_1`, and the rest as constants. */
const free = (c: ModelCase): Model => {
  const isFree = ([, t]: readonly [string, ResidentTensor]) => isFloat(t.dtype);
  const { graph } = known(c);
  return {
    ...c.model,
    graph: {
      ...graph,
      inputs: Object.entries(c.inputs)
        .filter(isFree)
        .map(([name, { dtype, shape }]) => ({
          name,
          type: { kind: "tensor", dtype, shape: shape.map((_, i) => `${name}_${i}`) },
        })),
      weights: new Map([...graph.weights].filter(([name]) => !(name in c.inputs && isFloat(c.inputs[name]!.dtype)))),
    },
  };
};

describe("what is inferred is what is computed:", () => {
  test.each(cases)("%s", (name, c) => {
    const m = known(c);
    const types = inferTypes(m);
    for (const [output, expected] of Object.entries(c.outputs)) {
      const { dtype, shape } = expected;
      const type = types.of(viewOf(m).main, output);
      expect(type).toMatchObject({ kind: "tensor", dtype });
      if (!open.test(name)) expect(type).toEqual({ kind: "tensor", dtype, shape });
      const computed = numbersOf(expected);
      for (const [i, v] of (types.constantInts(viewOf(m).main, output) ?? []).entries())
        if (v !== null) expect(Math.abs(Number(v) - computed[i]!)).toBeLessThanOrEqual(1e-5 * Math.abs(computed[i]!));
    }
  });
});

describe("expressions hold for the numbers that are put in:", () => {
  test.each(cases)("%s", (_, c) => {
    const m = free(c);
    const symbols = new Map<string, Dim>(
      Object.entries(c.inputs).flatMap(([name, t]) => t.shape.map((d, i) => [`${name}_${i}`, d] as const)),
    );
    for (const [name, { dtype, shape }] of Object.entries(c.outputs)) {
      const type = inferTypes(m).of(viewOf(m).main, name);
      expect(type).toMatchObject({ kind: "tensor", dtype });
      const dims = type?.kind === "tensor" ? type.shape : undefined;
      if (!dims) continue;
      expect(dims).toHaveLength(shape.length);
      for (const [i, d] of dims.entries()) if (d !== null) expect(substitute(d, symbols)).toBe(shape[i]);
    }
  });
});
