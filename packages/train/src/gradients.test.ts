import { graph, IR_OPSET, isFloat, model, node, tensor, type Values } from "@pare/core";
import { type OperatorCase, operatorCases } from "@pare/ops/cases";
import { gradients, unfoldings } from "@pare/ops/gradient";
import { decomposable } from "@pare/ops/lower";
import { numbersOf } from "@pare/ops/numeric";
import { schemaOf } from "@pare/ops/schema";
import { describe, expect, test } from "vitest";
import { checkGradients } from "./check.ts";

/** Rounding has no slope, but passes gradients straight through: differences say nothing of it. */
const straight = new Set(["QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"]);

/** What has no gradient by itself, or is no number that training moves. */
const constants = new Set(["roi", "scales", "ratio", "training_mode", "repeats", "window", "sizes"]);

/** Cases that are refused, with what the refusal says. */
const refused: readonly (readonly [name: string, why: RegExp])[] = [
  ["ScatterND reduction=max", /it scatters by max/],
  ["GatherND batch_dims=1", /it has batch_dims/],
  ["Einsum equation=...ii->...i", /it reads a diagonal/],
  ["Resize mode=linear coordinate_transformation_mode=tf_crop_and_resize extrapolation_value=9", /it crops/],
];

/** The case as a model, its inputs moved so that no two are equal and none is at a kink. */
function moved({ node: n, inputs }: OperatorCase) {
  const given: Record<string, Values[string]> = {};
  inputs.forEach((t, k) => {
    if (!t) return;
    const fixed = constants.has(schemaOf(n.op, IR_OPSET)!.inputs[k]?.name ?? "");
    given[`x${k}`] =
      isFloat(t.dtype) && !fixed
        ? tensor(
            "float64",
            t.shape,
            Float64Array.from(numbersOf(t), (v, i) => v + 0.013 + 0.011 * Math.sin(12.9898 * (i + 1) + 7 * k)),
          )
        : t;
  });
  return { given, node: n };
}

const differentiated = operatorCases.filter(
  (c) =>
    (gradients.has(c.node.op) || unfoldings.has(c.node.op) || decomposable.has(c.node.op)) && !straight.has(c.node.op),
);

describe("gradients against central differences", () => {
  for (const c of differentiated)
    test(c.name, async () => {
      const { given, node: n } = moved(c);
      // Bounds, scales, shapes and the like stay constants, as models have them.
      const results = n.outputs.filter(
        (name, i) => name && c.outputs[i] && isFloat(c.outputs[i]!.dtype) && c.outputs[i]!.byteLength > 0,
      );
      if (results.length === 0) return;
      const held = new Map(Object.entries(given).filter(([, t]) => t.dtype !== "float64"));
      const inputs = Object.entries(given).filter(([, t]) => t.dtype === "float64");
      const m = model(
        graph({
          inputs: inputs.map(([name, t]) => ({ name, type: { kind: "tensor", dtype: "float64", shape: t.shape } })),
          weights: held,
          nodes: [node(n.op, n.inputs, n.outputs, n.attributes)],
          outputs: results.map((name) => ({ name })),
        }),
      );
      const refusal = refused.find(([name]) => name === c.name)?.[1];
      if (refusal) return expect(checkGradients(m, Object.fromEntries(inputs))).rejects.toThrow(refusal);
      const { worst, errors } = await checkGradients(m, Object.fromEntries(inputs));
      expect(worst, JSON.stringify([...errors])).toBeLessThan(1e-4);
    });
});
