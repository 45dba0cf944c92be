/**
 * Arithmetic of dimensions: numbers, expressions over symbols, null where nothing is known. Expressions are polynomials
 * with integer coefficients over symbols and `floor(…/…)`, `max(…)`, `min(…)`, in one normal form, so that dimensions
 * which are equal by algebra are equal strings. A symbol stands for at least 1.
 */
import type { Dim } from "@pare/core";
import { parse } from "./dims-parse.ts";
import { constant, constantOf, divide, extreme, least, minus, type Poly, plus, polyText, times } from "./poly.ts";

const lift = (d: number | string): Poly | undefined =>
  typeof d === "string" ? parse(d) : Number.isSafeInteger(d) ? constant(d) : undefined;

const lower = (p: Poly | undefined): Dim => (p === undefined ? null : (constantOf(p) ?? polyText(p)));

type Numeric = (a: number, b: number) => number;

const combine =
  (numeric: Numeric, symbolic: (a: Poly, b: Poly) => Poly | undefined) =>
  (a: Dim, b: Dim): Dim => {
    if (a === null || b === null) return null;
    if (typeof a === "number" && typeof b === "number") {
      const result = numeric(a, b);
      return Number.isFinite(result) && Math.abs(result) <= Number.MAX_SAFE_INTEGER ? result : null;
    }
    const [p, q] = [lift(a), lift(b)];
    return p && q ? lower(symbolic(p, q)) : null;
  };

export const add = combine((a, b) => a + b, plus);
export const sub = combine(
  (a, b) => a - b,
  (a, b) => minus(a, b),
);
const product = combine((a, b) => a * b, times);
/** The product; 0 whatever the other is when one is 0. */
export const mul = (a: Dim, b: Dim): Dim => (a === 0 || b === 0 ? 0 : product(a, b));
/** The quotient rounded down. */
export const floorDiv = combine((a, b) => Math.floor(a / b), divide);
/** The quotient rounded up. */
export const ceilDiv = (a: Dim, b: Dim): Dim => floorDiv(add(a, sub(b, 1)), b);
export const max = combine(Math.max, (a, b) => extreme("max", a, b));
export const min = combine(Math.min, (a, b) => extreme("min", a, b));

export const productOf = (dims: readonly Dim[]): Dim => dims.reduce(mul, 1);
export const sumOf = (dims: readonly Dim[]): Dim => dims.reduce(add, 0);

/** The normal form of a dimension as it stands in a file. */
export function normal(d: Dim): Dim {
  if (typeof d === "number") return Number.isSafeInteger(d) && d >= 0 ? d : null;
  return d === null || d === "" ? null : lower(parse(d));
}

/** The dimension with numbers or expressions in the place of symbols. */
export const substitute = (d: Dim, bindings: ReadonlyMap<string, Dim>): Dim =>
  typeof d === "string" && bindings.size > 0
    ? lower(
        parse(d, (name) => {
          const to = bindings.get(name);
          return to === undefined || to === null ? undefined : lift(to);
        }),
      )
    : d;

/** 1, 0 or -1 where the difference has that sign whatever the symbols are. */
export function compare(a: Dim, b: Dim): number | undefined {
  const difference = sub(a, b);
  if (typeof difference === "number") return Math.sign(difference);
  if (difference === null) return undefined;
  if (leastOf(difference) > 0) return 1;
  return leastOf(sub(b, a)) > 0 ? -1 : undefined;
}

/** Whether it is at least 0 whatever the symbols are. */
export const isNatural = (d: Dim): boolean => leastOf(d) >= 0;

export const clamp = (d: Dim, low: Dim, high: Dim): Dim => min(max(d, low), high);

/** The least that a dimension can be; minus infinity where that is not known. */
export function leastOf(d: Dim): number {
  const p = d === null ? undefined : lift(d);
  return p ? least(p) : Number.NEGATIVE_INFINITY;
}
