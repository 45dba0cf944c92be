import { attribute, type Dim, type ValueType } from "@pare/core";
import { dtypeOf } from "../dtype-codes.ts";
import { axisOf, type Call, type Fact, factOf, int, isGiven, join, replaced, typeOfFact, valuesAt } from "./rule.ts";

type FactRule = (call: Call) => readonly (Fact | undefined)[];

const typeAt = ({ inputs }: Call, index: number): ValueType | undefined => typeOfFact(inputs[index]);

const wrapped = (kind: "sequence" | "optional", element: ValueType | undefined): readonly Fact[] => [
  { other: { kind, ...(element && { element }) } },
];

function elementAt(c: Call, index: number): Fact | undefined {
  const type = typeAt(c, index);
  return type?.kind === "sequence" || type?.kind === "optional" ? factOf(type.element) : undefined;
}

/** Operators that make or take sequences and optionals. */
export const sequenceRules: ReadonlyMap<string, FactRule> = new Map<string, FactRule>([
  [
    "SequenceEmpty",
    (c) => {
      const dtype = dtypeOf(int(c, "dtype", 1));
      return wrapped("sequence", dtype && { kind: "tensor", dtype });
    },
  ],
  [
    "SequenceConstruct",
    (c) => wrapped("sequence", typeOfFact(c.inputs.map(withoutValues).reduce(join, withoutValues(c.inputs[0])))),
  ],
  [
    "SequenceInsert",
    (c) => {
      const element = elementAt(c, 0);
      // An empty sequence knows the element type only.
      return wrapped("sequence", typeOfFact(element ? join(element, c.inputs[1]) : withoutShape(c.inputs[1])));
    },
  ],
  ["SequenceErase", (c) => [c.inputs[0]]],
  ["SequenceAt", (c) => [elementAt(c, 0)]],
  ["SplitToSequence", (c) => wrapped("sequence", typeOfFact(splitPart(c)))],
  [
    "ConcatFromSequence",
    (c) => {
      const element = elementAt(c, 0);
      const shape = element?.shape;
      const isNew = int(c, "new_axis", 0) !== 0;
      const axis = shape && axisOf(int(c, "axis", 0), shape.length + (isNew ? 1 : 0));
      if (axis === undefined) return [{ dtype: element?.dtype }];
      const out: Dim[] = isNew
        ? [...shape!.slice(0, axis), null, ...shape!.slice(axis)]
        : replaced(shape!, [axis, null]);
      return [{ dtype: element?.dtype, shape: out }];
    },
  ],
  ["Optional", (c) => wrapped("optional", isGiven(c, 0) ? typeAt(c, 0) : attribute(c.node, "type", "type"))],
  ["OptionalGetElement", (c) => [typeAt(c, 0)?.kind === "optional" ? elementAt(c, 0) : c.inputs[0]]],
]);

const withoutValues = (f: Fact | undefined): Fact | undefined =>
  f && { dtype: f.dtype, shape: f.shape, other: f.other };
const withoutShape = (f: Fact | undefined): Fact | undefined => f && { dtype: f.dtype };

function splitPart(c: Call): Fact | undefined {
  const [input] = c.inputs;
  const shape = input?.shape;
  const axis = shape && axisOf(int(c, "axis", 0), shape.length);
  if (axis === undefined) return input && { dtype: input.dtype };
  const sizes = valuesAt(c, 1);
  const size = sizes?.every((s) => s === sizes[0]) ? (sizes[0] ?? null) : null;
  if (isGiven(c, 1))
    return {
      dtype: input!.dtype,
      shape: replaced(shape!, [axis, sizes?.length === 1 && shape![axis] === null ? null : size]),
    };
  const keeps = int(c, "keepdims", 1) !== 0;
  return { dtype: input!.dtype, shape: keeps ? replaced(shape!, [axis, 1]) : shape!.filter((_, i) => i !== axis) };
}
