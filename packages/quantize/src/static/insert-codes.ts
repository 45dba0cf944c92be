import { type Edit, type Node, node, type QuantizationScheme, type ResidentTensor, tensor } from "@pare/core";
import { constantsOf } from "../constants.ts";
import { encodeWeights } from "../weights/encode-weights.ts";
import type { QuantizationOptions } from "./int8-options.ts";
import type { QuantizationPlan, QuantizedNode } from "./plan.ts";
import { quantizedConstant, type ValueCodes } from "./value-codes.ts";

/** Inserts everything, and gives the groups that were made integer arithmetic. */
export function insertCodes(
  e: Edit,
  plan: QuantizationPlan,
  scheme: QuantizationScheme,
  codes: ReadonlyMap<string, ValueCodes>,
  options: QuantizationOptions,
  rounding: Parameters<typeof encodeWeights>[6],
): readonly QuantizedNode[] {
  const { main } = e.view;
  const { dtype } = scheme.activations;
  const parameters = new Map<string, readonly [string, string]>();
  /** Names of scale and zero point of a value. */
  const parametersOf = (value: string): readonly [string, string] => {
    const root = plan.values.get(value)!;
    const known = parameters.get(root);
    if (known) return known;
    const { scale, zeroPoint } = codes.get(root)!;
    const made = [
      e.addWeight(main, e.fresh(`${root}_scale`), tensor("float32", [], [scale])),
      e.addWeight(main, e.fresh(`${root}_zero_point`), tensor(dtype, [], [zeroPoint] as never)),
    ] as const;
    parameters.set(root, made);
    return made;
  };
  const changed = new Map<Node, { inputs: string[]; outputs: string[] }>();
  const change = (n: Node) => {
    const known = changed.get(n);
    if (known) return known;
    const made = { inputs: [...n.inputs], outputs: [...n.outputs] };
    changed.set(n, made);
    return made;
  };
  const constants = constantsOf(e);

  // Values that operators give in codes keep their name for what is decoded, so that all readers read that.
  const decoded = new Map<string, string>();
  const ofGroups = new Map(plan.groups.filter((g) => g.codes).map((g) => [g.output, g]));
  for (const value of plan.values.keys()) {
    const [scale, zeroPoint] = parametersOf(value);
    const quantized = e.fresh(`${value}_quantized`);
    const group = ofGroups.get(value);
    const constant = constants.of(value);
    const from = group ? e.fresh(`${value}_float`) : value;
    const to = group ? value : e.fresh(`${value}_dequantized`);
    if (constant) {
      const t = quantizedConstant(
        constant.tensor as ResidentTensor<"float32">,
        codes.get(plan.values.get(value)!)!,
        scheme.activations,
      );
      e.addWeight(main, quantized, t);
    } else
      e.insert(main, [
        node("QuantizeLinear", [from, scale, zeroPoint], [quantized], {}, { name: `${value}_QuantizeLinear` }),
      ]);
    e.insert(main, [
      node("DequantizeLinear", [quantized, scale, zeroPoint], [to], {}, { name: `${value}_DequantizeLinear` }),
    ]);
    decoded.set(value, to);
    if (group) {
      const last = change(group.tail.at(-1) ?? group.node);
      last.outputs[0] = from;
    }
  }
  const weights = encodeWeights(e, plan, scheme, codes, options, constants, rounding);
  for (const group of plan.groups) {
    for (const { node, index } of group.reads) {
      const value = node.inputs[index]!;
      const to = decoded.get(value)!;
      if (to === value) continue;
      change(node).inputs[index] = to;
      constants.release(value);
    }
    const bias = weights.biasOf(group);
    if (bias !== undefined) change(group.node).inputs[group.operator.bias!] = bias;
  }
  for (const [n, { inputs, outputs }] of changed) e.replace(n, [{ ...n, inputs, outputs }]);
  constants.removeUnread();
  return plan.groups.filter((g) => g.operator.role === "compute");
}
