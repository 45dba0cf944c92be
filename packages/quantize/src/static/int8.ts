import { definePass, edit, type Model, PASS_API_VERSION, viewOf } from "@pare/core";
import { gramOf, matrixOperators } from "./gptq-layers.ts";
import { insertCodes } from "./insert-codes.ts";
import { isRoundedByInputs, planned, quantizationOptions, roundingOf, valueOptions } from "./int8-options.ts";
import type { QuantizationPlan } from "./plan.ts";
import { statisticOf } from "./ranges.ts";
import { valueCodes } from "./value-codes.ts";

/**
 * Computes in integers what the target can: QuantizeLinear and DequantizeLinear around the values of the operators that its
 * scheme lists, codes for their weights and biases. Ranges of activations come from the samples. Only the main graph is quantized.
 * (Jacob et al. 2018, arXiv:1712.05877.)
 * @throws PareError `quantize/no-scheme` when the target says nothing of integers, `quantize/not-finite`
 */
export const int8 = definePass({
  name: "int8",
  apiVersion: PASS_API_VERSION,
  needs: ["target", "runtime", "samples"],
  options: quantizationOptions,
  observe(model, options, host) {
    const plan = planned(model, options, host);
    const { main } = viewOf(model);
    const values = [...plan.values.keys()].filter((v) => !main.constant(v) && !plan.fixed.has(plan.values.get(v)!));
    const grams = quantizedMatrices(model, plan).filter(isRoundedByInputs(options, plan.scheme)).map(gramOf);
    const optionsFor = valueOptions(plan, plan.scheme, options);
    const wanted = new Map<string, string[]>();
    for (const v of values) {
      const statistic = statisticOf(optionsFor(v).calibration);
      const known = wanted.get(statistic);
      if (known) known.push(v);
      else wanted.set(statistic, [v]);
    }
    return [...Array.from(wanted, ([statistic, of]) => ({ values: of, statistic })), ...grams];
  },
  run(model, options, ctx) {
    const { scheme, ...plan } = planned(model, options, ctx.host);
    const { main } = viewOf(model);
    for (const [node, reason] of plan.left)
      if (scheme.operators.get(node.op)?.role === "compute") ctx.skip({ view: main, node }, reason);
    for (const view of viewOf(model).graphs)
      for (const node of view.graph.nodes)
        if (view !== main && scheme.operators.get(node.op)?.role === "compute")
          ctx.skip({ view, node }, "stands in a branch or function, where nothing is measured");
    if (plan.groups.length === 0) return model;
    const codes = valueCodes(model, plan, scheme.activations, ctx.statistics, valueOptions(plan, scheme, options));
    const operators = new Map(quantizedMatrices(model, plan).map((o) => [o.node, o]));
    return edit(model, (e) => {
      const inserted = insertCodes(e, plan, scheme, codes, options, ([{ node }], granularity) =>
        roundingOf(options, scheme, node, operators.get(node), granularity, ctx.statistics),
      );
      for (const group of inserted)
        ctx.done({ view: main, node: group.node }, { values: group.reads.length + Number(group.codes) });
    });
  },
});

function quantizedMatrices(model: Model, { groups }: QuantizationPlan) {
  const meant = new Set(groups.map((g) => g.node));
  return matrixOperators(model).filter((o) => meant.has(o.node));
}
