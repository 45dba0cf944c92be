import { attribute, type Dim, type ValueType } from "@pare/core";
import { dtypeOf } from "../dtype-codes.ts";
import {
  axisAt,
  axisOf,
  type Call,
  type Fact,
  factOf,
  int,
  isGiven,
  join,
  replaced,
  shapeAt,
  typeOfFact,
  valuesAt,
} from "./rule.ts";

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
  const axis = axisAt(c, shape);
  if (axis === undefined) return input && { dtype: input.dtype };
  if (isGiven(c, 1)) return { dtype: input!.dtype, shape: replaced(shape!, [axis, partSize(c, shape![axis]!)]) };
  const keeps = int(c, "keepdims", 1) !== 0;
  return { dtype: input!.dtype, shape: keeps ? replaced(shape!, [axis, 1]) : shape!.filter((_, i) => i !== axis) };
}

/** The size that all parts have: of a scalar the last may be smaller, of a list they are as listed. */
function partSize(c: Call, size: Dim): Dim {
  const [sizes, rank] = [valuesAt(c, 1), shapeAt(c, 1)?.length];
  const [first] = sizes ?? [];
  if (first === undefined || rank === undefined) return null;
  if (rank > 0) return sizes!.every((s) => s === first) ? first : null;
  if (typeof size !== "number" || typeof first !== "number" || first <= 0) return null;
  return size <= first ? size : size % first === 0 ? first : null;
}
