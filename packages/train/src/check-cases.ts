import {
  graph,
  IR_OPSET,
  isFloat,
  type Model,
  model,
  node,
  type ResidentTensor,
  tensor,
  type Values,
} from "@pare/core";
import { type GradientCase, gradientCases, operatorCases } from "@pare/ops/cases";
import { gradients, unfoldings } from "@pare/ops/gradient";
import { decomposable } from "@pare/ops/lower";
import { numbersOf } from "@pare/ops/numeric";
import { schemaOf } from "@pare/ops/schema";

/** An operator whose gradient is compared with differences. */
export interface OperatorCheck {
  readonly name: string;
  readonly op: string;
  readonly model: Model;
  readonly inputs: Values;
  readonly formulations?: Readonly<Record<string, string>>;
}

/** Rounding has no slope, but passes gradients straight through: differences say nothing of it. */
const straight = new Set(["QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"]);
/** Inputs that no training moves. */
const fixed = new Set(["roi", "scales", "ratio", "training_mode", "repeats", "window", "sizes"]);

/** The cases of all operators that have gradients, moved so that no two numbers are equal and none is at a kink. */
export const operatorChecks = (): OperatorCheck[] => [
  ...operatorCases
    .filter(
      ({ node: { op } }) => (gradients.has(op) || unfoldings.has(op) || decomposable.has(op)) && !straight.has(op),
    )
    .filter(({ outputs }) => outputs.some((t) => isFloat(t.dtype) && t.byteLength > 0))
    .flatMap((c) => checkOf(c, c.outputs)),
  ...gradientCases.flatMap((c) => checkOf(c, undefined)),
];

function checkOf(c: GradientCase, outputs: readonly (ResidentTensor | undefined)[] | undefined): OperatorCheck[] {
  const { node: n, name, formulations } = c;
  const weights = new Map<string, ResidentTensor>();
  const inputs: Record<string, ResidentTensor> = {};
  c.inputs.forEach((t, k) => {
    if (!t) return;
    const stays =
      !isFloat(t.dtype) || c.fixed?.includes(k) || fixed.has(schemaOf(n.op, IR_OPSET)!.inputs[k]?.name ?? "");
    if (stays) weights.set(`x${k}`, t);
    // Cases of gradients are where they should be.
    else inputs[`x${k}`] = outputs ? moved(t, k) : t;
  });
  if (Object.keys(inputs).length === 0) return [];
  const results = n.outputs.filter((v, i) => v && (!outputs || (outputs[i] && isFloat(outputs[i]!.dtype))));
  const main = graph({
    inputs: Object.entries(inputs).map(([v, { dtype, shape }]) => ({
      name: v,
      type: { kind: "tensor", dtype, shape },
    })),
    weights,
    nodes: [node(n.op, n.inputs, n.outputs, n.attributes)],
    outputs: results.map((v) => ({ name: v })),
  });
  return [{ name, op: n.op, model: model(main), inputs, ...(formulations && { formulations }) }];
}

const moved = (t: ResidentTensor, seed: number): ResidentTensor =>
  tensor(
    "float64",
    t.shape,
    Float64Array.from(numbersOf(t), (v, i) => v + 0.013 + 0.011 * Math.sin(12.9898 * (i + 1) + 7 * seed)),
  );
