import { type Dim, type DType, intAttribute, type Node, type ValueType } from "@pare/core";
import { leastOf } from "./dims.ts";

/** The dimensions of a tensor; undefined where not even their number is known. */
export type Shape = readonly Dim[] | undefined;

/** What is known of a value. */
export interface Fact {
  readonly dtype?: DType | undefined;
  readonly shape?: Shape;
  /** The elements in row-major order, where there are few and something is known of them: numbers, expressions, nulls. */
  readonly values?: readonly Dim[] | undefined;
  /** The type of what is no tensor. */
  readonly other?: ValueType | undefined;
}

/** What a rule is given: the node, attributes of functions put in, and what is known of its inputs. */
export interface Call {
  readonly node: Node;
  readonly inputs: readonly (Fact | undefined)[];
}

/** Shapes of the outputs of an operator of the IR's opset. */
export type ShapeRule = (call: Call) => readonly Shape[];
/** Elements of the outputs, given the shape of the first where that is known. */
export type ValueRule = (call: Call, shape: Shape) => readonly (readonly Dim[] | undefined)[];
export type ShapeRules = Readonly<Record<string, ShapeRule>>;
export type ValueRules = Readonly<Record<string, ValueRule>>;

/** Most elements whose values are followed. */
export const MOST_VALUES = 1024;
/** Most dimensions that a shape is made with. */
export const MOST_RANK = 64;

export const shapeAt = ({ inputs }: Call, index: number): Shape => inputs[index]?.shape;
export const valuesAt = ({ inputs }: Call, index: number): readonly Dim[] | undefined => inputs[index]?.values;
export const isGiven = ({ node }: Call, index: number): boolean => Boolean(node.inputs[index]);
export const int = ({ node }: Call, name: string, fallback: number): number => intAttribute(node, name, fallback);

/** The integers of an input when all of them are numbers. */
export function numbersAt(call: Call, index: number): readonly number[] | undefined {
  const values = valuesAt(call, index);
  return values?.every((v) => typeof v === "number") ? (values as readonly number[]) : undefined;
}

export const isNumbers = (dims: readonly Dim[]): dims is readonly number[] => dims.every((d) => typeof d === "number");

/** A shape of so many unknown dimensions. */
export const unknown = (rank: Dim | undefined): Shape =>
  typeof rank === "number" && rank >= 0 && rank <= MOST_RANK ? new Array<null>(rank).fill(null) : undefined;

/** An axis counted from the front, or undefined where there is no such axis. */
export function axisOf(axis: number, rank: number): number | undefined {
  const found = axis < 0 ? axis + rank : axis;
  return Number.isInteger(found) && found >= 0 && found < rank ? found : undefined;
}

/** The axis that the attribute `axis` names in a shape, as far as that is known. */
export const axisAt = ({ node }: Call, shape: Shape, fallback = 0): number | undefined =>
  shape && axisOf(intAttribute(node, "axis", fallback), shape.length);

/** The same for several; undefined where one does not exist or comes twice. */
export function axesOf(axes: readonly number[], rank: number): number[] | undefined {
  const found = axes.map((a) => axisOf(a, rank));
  const known = found.every((a) => a !== undefined) && new Set(found).size === found.length;
  return known ? (found as number[]) : undefined;
}

/** The shape with other dimensions at some axes. */
export const replaced = (shape: readonly Dim[], ...changes: readonly (readonly [axis: number, dim: Dim])[]): Dim[] => {
  const out = [...shape];
  for (const [axis, dim] of changes) out[axis] = dim;
  return out;
};

/** The dimension that two must share where broadcasting is not meant; the one that says more. */
export const same = (a: Dim, b: Dim): Dim => (typeof a === "number" ? a : typeof b === "number" ? b : (a ?? b));

/** The dimension that two become by broadcasting: null where that depends on which of them is 1. */
export function broadcastDim(a: Dim, b: Dim): Dim {
  if (a === 1) return b;
  if (b === 1 || (a === b && a !== null)) return a;
  if (typeof a === "number") return typeof b === "number" ? null : a;
  if (typeof b === "number" || leastOf(b) > 1) return b;
  return leastOf(a) > 1 ? a : null;
}

/** The shape that several become by broadcasting. */
export function broadcast(shapes: readonly Shape[]): Shape {
  const [first] = shapes;
  if (shapes.every((shape) => shape === first || shape?.length === 0)) return first;
  let out: Dim[] = [];
  for (const shape of shapes) {
    if (!shape) return undefined;
    const rank = Math.max(out.length, shape.length);
    const at = (dims: readonly Dim[], i: number): Dim =>
      dims[i - rank + dims.length] ?? (i < rank - dims.length ? 1 : null);
    const before = out;
    out = Array.from({ length: rank }, (_, i) => broadcastDim(at(before, i), at(shape, i)));
  }
  return out;
}

/** What two facts have in common: what holds whichever of them comes true. */
export function join(a: Fact | undefined, b: Fact | undefined): Fact | undefined {
  if (!a || !b) return undefined;
  const sameRank = a.shape && b.shape && a.shape.length === b.shape.length;
  const sameCount = a.values && b.values && a.values.length === b.values.length;
  return {
    dtype: a.dtype === b.dtype ? a.dtype : undefined,
    shape: sameRank ? a.shape.map((d, i) => (d === b.shape![i] ? d : null)) : undefined,
    values: sameCount ? a.values.map((d, i) => (d === b.values![i] ? d : null)) : undefined,
    other: joinTypes(a.other, b.other),
  };
}

function joinTypes(a: ValueType | undefined, b: ValueType | undefined): ValueType | undefined {
  if (!a || !b || a.kind !== b.kind) return undefined;
  if (a.kind !== "sequence" && a.kind !== "optional") return JSON.stringify(a) === JSON.stringify(b) ? a : undefined;
  const element = typeOfFact(join(factOf(a.element), factOf((b as typeof a).element)));
  return { kind: a.kind, ...(element && { element }) };
}

/** A type as a fact. Sequences and optionals keep what is known of their elements. */
export const factOf = (type: ValueType | undefined): Fact | undefined =>
  type?.kind === "tensor" ? { dtype: type.dtype, shape: type.shape } : type && { other: type };

export const typeOfFact = (fact: Fact | undefined): ValueType | undefined =>
  fact?.other ?? (fact?.dtype && { kind: "tensor", dtype: fact.dtype, ...(fact.shape && { shape: fact.shape }) });
