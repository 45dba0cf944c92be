import { describe, expect, test } from "vitest";
import { checkGradients } from "./check.ts";
import { operatorChecks } from "./check-cases.ts";

/** What is refused, with what the refusal says. */
const refused = new Map([
  ["ScatterND reduction=max", /it scatters by max/],
  ["GatherND batch_dims=1", /it has batch_dims/],
  ["Einsum equation=...ii->...i", /it reads a diagonal/],
  ["Resize mode=linear coordinate_transformation_mode=tf_crop_and_resize extrapolation_value=9", /it crops/],
]);

describe("gradients against central differences", () => {
  for (const { name, model, inputs, formulations } of operatorChecks())
    test(name, async () => {
      const checked = checkGradients(model, inputs, { elements: 24, ...(formulations && { formulations }) });
      const refusal = refused.get(name);
      if (refusal) return expect(checked).rejects.toThrow(refusal);
      const { worst, errors } = await checked;
      expect(worst, JSON.stringify([...errors])).toBeLessThan(1e-5);
    });
});
