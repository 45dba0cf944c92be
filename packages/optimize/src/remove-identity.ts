import {
  attribute,
  constantOf,
  type GraphView,
  intAttribute,
  intsAttribute,
  type Model,
  type Node,
  type Rule,
} from "@pare/core";
import { numbersOf } from "@pare/ops/numeric";
import { dtypeOf, haveSameShape, rulePass } from "./rule-pass.ts";

type Test = (n: Node, view: GraphView, model: Model) => boolean;

const unused = (view: GraphView, value: string | undefined) =>
  !value || (view.uses(value).length === 0 && !view.isOutput(value));

/** Whether a node's first output has the shape of input `index`, whatever the symbols stand for. */
const keepsShape = (n: Node, view: GraphView, model: Model, index = 0): boolean =>
  haveSameShape(model, view, n.inputs[index]!, n.outputs[0]!);

/** Whether an input is a constant whose elements are all `value`. */
const isAll = (n: Node, view: GraphView, index: number, value: number): boolean => {
  const t = constantOf(view, n.inputs[index] ?? "");
  return t !== undefined && t.dtype !== "string" && numbersOf(t).every((v) => v === value);
};

const sameType: Test = (n, view, model) => {
  const from = dtypeOf(model, view, n.inputs[0]!);
  return from !== undefined && from === dtypeOf(model, view, n.outputs[0]!);
};
const oneInput: Test = (n) => n.inputs.length === 1;

/** Coordinates that are the input's own where nothing is scaled. */
const steady = new Set(["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"]);

/** When an operator gives its first input as it is. */
const idle: Readonly<Record<string, Test>> = {
  Identity: () => true,
  Dropout: (n, view) => unused(view, n.outputs[1]) && (!n.inputs[2] || isAll(n, view, 2, 0)),
  Cast: sameType,
  CastLike: sameType,
  Concat: oneInput,
  Sum: oneInput,
  Mean: oneInput,
  Max: oneInput,
  Min: oneInput,
  Split: (n) => n.outputs.length === 1,
  Clip: (n) => !n.inputs[1] && !n.inputs[2],
  Transpose: (n) => intsAttribute(n, "perm")?.every((axis, i) => axis === i) ?? false,
  Reshape: keepsShape,
  Flatten: keepsShape,
  Squeeze: keepsShape,
  Unsqueeze: keepsShape,
  Expand: keepsShape,
  Tile: keepsShape,
  Slice: (n, view, model) => {
    const steps = n.inputs[4] ? constantOf(view, n.inputs[4]) : undefined;
    return (!n.inputs[4] || (steps && numbersOf(steps).every((s) => s > 0))) === true && keepsShape(n, view, model);
  },
  Pad: (n, view) => isAll(n, view, 1, 0),
  Resize: (n, view, model) =>
    steady.has(String(attribute(n, "coordinate_transformation_mode", "string") ?? "half_pixel")) &&
    (n.inputs[2] ? isAll(n, view, 2, 1) : intAttribute(n, "antialias", 0) === 0 && keepsShape(n, view, model)),
  Add: (n, view, model) => isAll(n, view, 1, 0) && keepsShape(n, view, model),
  Sub: (n, view, model) => isAll(n, view, 1, 0) && keepsShape(n, view, model),
  Mul: (n, view, model) => isAll(n, view, 1, 1) && keepsShape(n, view, model),
  Div: (n, view, model) => isAll(n, view, 1, 1) && keepsShape(n, view, model),
  Pow: (n, view, model) => isAll(n, view, 1, 1) && keepsShape(n, view, model),
};

const identity: Rule = {
  name: "identity",
  ops: Object.keys(idle),
  match(n, view, { model }) {
    const [from] = n.outputs;
    const [to] = n.inputs;
    return from && to && idle[n.op]!(n, view, model) ? { remove: [n], redirect: [from, to] } : undefined;
  },
};

/** `0 + x` and `1 * x`: the other way round than {@link identity} has it. */
const neutral: Rule = {
  name: "neutral-element",
  ops: ["Add", "Mul"],
  match(n, view, { model }) {
    const isNeutral = isAll(n, view, 0, n.op === "Add" ? 0 : 1) && keepsShape(n, view, model, 1);
    return isNeutral && n.outputs[0] ? { remove: [n], redirect: [n.outputs[0], n.inputs[1]!] } : undefined;
  },
};

/** Removes nodes that give their input unchanged. One that copies an input or weight to an output stays. */
export const removeIdentity = rulePass("remove-identity", [identity, neutral]);
