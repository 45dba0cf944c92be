import { type Dim, intsAttribute } from "@pare/core";
import { axisOf, type Call, int, isNumbers, MOST_VALUES, numbersAt, type Shape, shapeAt } from "./rule.ts";
import { cutAt, slices } from "./select.ts";

type Moving = "broadcast" | "transpose" | "slice" | "gather" | "tile";

/** Elements of a small tensor in the places to which an operator moves them; undefined where these are not known. */
export function moved(
  values: readonly Dim[],
  from: Shape,
  to: Shape,
  how: Moving,
  call?: Call,
): readonly Dim[] | undefined {
  if (!from || !to || !isNumbers(from) || !isNumbers(to)) return undefined;
  const count = to.reduce((n, d) => n * d, 1);
  const origin = originOf(from, to, how, call);
  if (!origin || count > MOST_VALUES) return undefined;
  return Array.from({ length: count }, (_, index) => {
    const at = origin(coordinates(index, to));
    return values[at.reduce((sum, x, axis) => sum * from[axis]! + x, 0)] ?? null;
  });
}

function coordinates(index: number, shape: readonly number[]): number[] {
  const out = new Array<number>(shape.length);
  for (let axis = shape.length - 1, rest = index; axis >= 0; axis--) {
    out[axis] = rest % shape[axis]!;
    rest = Math.floor(rest / shape[axis]!);
  }
  return out;
}

/** Where the element at some coordinates of the result comes from. */
function originOf(
  from: readonly number[],
  to: readonly number[],
  how: Moving,
  c: Call | undefined,
): ((at: readonly number[]) => readonly number[]) | undefined {
  const rank = from.length;
  switch (how) {
    case "broadcast":
      return (at) => from.map((d, axis) => (d === 1 ? 0 : at[axis + to.length - rank]!));
    case "tile":
      return (at) => from.map((d, axis) => at[axis]! % d);
    case "transpose": {
      const perm = (c && intsAttribute(c.node, "perm")) ?? from.map((_, i) => rank - 1 - i);
      return (at) => from.map((_, axis) => at[perm.indexOf(axis)]!);
    }
    case "gather": {
      const axis = c && axisOf(int(c, "axis", 0), rank);
      const indices = c && numbersAt(c, 1);
      const shape = c && shapeAt(c, 1);
      if (axis === undefined || !indices || !shape || !isNumbers(shape)) return undefined;
      return (at) => {
        const chosen = at.slice(axis, axis + shape.length).reduce((sum, x, k) => sum * shape[k]! + x, 0);
        const index = indices[chosen]!;
        return [...at.slice(0, axis), index < 0 ? index + from[axis]! : index, ...at.slice(axis + shape.length)];
      };
    }
    case "slice": {
      const cuts = c && slices(c, rank);
      if (!cuts) return undefined;
      const steps = from.map((size, axis): readonly [number, number] | undefined => {
        const [start, , step] = cuts.get(axis) ?? [0, size, 1];
        const first = typeof step === "number" ? cutAt(start, size, 0, step > 0 ? size : size - 1) : null;
        return typeof first === "number" ? [first, step as number] : undefined;
      });
      return steps.every((s) => s !== undefined)
        ? (at) => at.map((x, i) => steps[i]![0] + x * steps[i]![1])
        : undefined;
    }
    default:
      return how satisfies never;
  }
}
