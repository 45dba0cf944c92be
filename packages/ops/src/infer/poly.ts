/** Polynomials with integer coefficients. */

interface Term {
  readonly coefficient: number;
  /** Sorted; each a symbol, `{any name}`, or `floor(…)`, `max(…)`, `min(…)` in normal form. */
  readonly atoms: readonly string[];
}

/** Terms by their atoms, none with coefficient 0. */
export type Poly = ReadonlyMap<string, Term>;

const MOST_TERMS = 24;
const MOST_TEXT = 400;

const keyOf = (atoms: readonly string[]) => atoms.join("\0");

function collect(terms: readonly Term[]): Poly | undefined {
  const sums = new Map<string, Term>();
  for (const { coefficient, atoms } of terms) {
    const key = keyOf(atoms);
    const sum = coefficient + (sums.get(key)?.coefficient ?? 0);
    if (!Number.isSafeInteger(sum)) return undefined;
    if (sum === 0) sums.delete(key);
    else sums.set(key, { coefficient: sum, atoms });
  }
  return sums.size > MOST_TERMS ? undefined : sums;
}

export const constant = (value: number): Poly => new Map(value === 0 ? [] : [["", { coefficient: value, atoms: [] }]]);

export const atom = (text: string): Poly => new Map([[text, { coefficient: 1, atoms: [text] }]]);

/** The number that a polynomial without symbols is. */
export const constantOf = (p: Poly): number | undefined =>
  p.size === 0 ? 0 : p.size === 1 ? p.get("")?.coefficient : undefined;

export const plus = (p: Poly, q: Poly): Poly | undefined => collect([...p.values(), ...q.values()]);

export const times = (p: Poly, q: Poly): Poly | undefined =>
  p.size * q.size > MOST_TERMS * 4
    ? undefined
    : collect(
        [...p.values()].flatMap((a) =>
          [...q.values()].map((b) => ({
            coefficient: a.coefficient * b.coefficient,
            atoms: [...a.atoms, ...b.atoms].sort(),
          })),
        ),
      );

const scale = (p: Poly, factor: number) => times(p, constant(factor));
export const minus = (p: Poly, q: Poly): Poly | undefined => {
  const negated = scale(q, -1);
  return negated && plus(p, negated);
};

const gcd = (a: number, b: number): number => (b === 0 ? Math.abs(a) : gcd(b, a % b));
const remainder = (a: number, k: number) => ((a % k) + k) % k;

/** The quotient rounded down: exact where the divisor divides every term. */
export function divide(p: Poly, q: Poly): Poly | undefined {
  const k = constantOf(q);
  if (k !== undefined) return k > 0 ? divideByNumber(p, k) : k < 0 ? divideNegative(p, q) : undefined;
  const terms = [...q.values()];
  if (terms.length === 1) {
    const exact = divideByTerm(p, terms[0]!);
    if (exact) return exact;
  }
  const difference = minus(p, q);
  return difference?.size === 0 ? constant(1) : floorAtom(p, q);
}

function divideNegative(p: Poly, q: Poly): Poly | undefined {
  const [a, b] = [scale(p, -1), scale(q, -1)];
  return a && b && divide(a, b);
}

function divideByTerm(p: Poly, by: Term): Poly | undefined {
  const out: Term[] = [];
  for (const { coefficient, atoms } of p.values()) {
    if (coefficient % by.coefficient !== 0) return undefined;
    const rest = [...atoms];
    for (const a of by.atoms) {
      const at = rest.indexOf(a);
      if (at < 0) return undefined;
      rest.splice(at, 1);
    }
    out.push({ coefficient: coefficient / by.coefficient, atoms: rest });
  }
  return collect(out);
}

function divideByNumber(p: Poly, k: number): Poly | undefined {
  // floor((c*x + y) / k) = floor(c/k)*x + floor(((c mod k)*x + y) / k)
  const terms = [...p.values()];
  const whole = collect(terms.map((t) => ({ ...t, coefficient: Math.floor(t.coefficient / k) })));
  const rest = collect(terms.map((t) => ({ ...t, coefficient: remainder(t.coefficient, k) })));
  if (!whole || !rest) return undefined;
  if ((constantOf(rest) ?? k) < k) return whole;
  const common = [...rest.values()].reduce((g, t) => (t.atoms.length > 0 ? gcd(g, t.coefficient) : g), k);
  const reduced = collect([...rest.values()].map((t) => ({ ...t, coefficient: Math.floor(t.coefficient / common) })));
  const inner =
    reduced && (common === k ? reduced : (nested(reduced, k / common) ?? floorAtom(reduced, constant(k / common))));
  return inner && plus(whole, inner);
}

/** floor((floor(x/a) + c) / b) = floor((x + a*c) / (a*b)) */
function nested(p: Poly, b: number): Poly | undefined {
  const terms = [...p.values()].filter((t) => t.atoms.length > 0);
  const [only] = terms;
  if (terms.length !== 1 || only!.coefficient !== 1 || only!.atoms.length !== 1) return undefined;
  const known = made.get(only!.atoms[0]!);
  const a = known?.name === "floor" ? constantOf(known.of[1]) : undefined;
  if (!known || a === undefined) return undefined;
  const x = plus(known.of[0], constant(a * (p.get("")?.coefficient ?? 0)));
  return x && divideByNumber(x, a * b);
}

/**
 * What stands in the atoms that were made, by their texts, so that nobody need read these again. Every polynomial comes
 * from a text a moment ago; beyond the bound only normal forms of nested quotients would be less simple.
 */
const made = new Map<string, { readonly name: "floor" | "max" | "min"; readonly of: readonly [Poly, Poly] }>();

function remember(text: string, name: "floor" | "max" | "min", p: Poly, q: Poly): Poly | undefined {
  if (text.length > MOST_TEXT) return undefined;
  if (made.size > 10_000) made.clear();
  made.set(text, { name, of: [p, q] });
  return atom(text);
}

function floorAtom(p: Poly, q: Poly): Poly | undefined {
  const [num, den] = [polyText(p), polyText(q)];
  const text = `floor(${p.size > 1 ? `(${num})` : num}/${/^[\w.]+$/.test(den) ? den : `(${den})`})`;
  return remember(text, "floor", p, q);
}

/** The least that a polynomial can be; symbols are at least 1. */
export function least(p: Poly): number {
  let sum = 0;
  for (const { coefficient, atoms } of p.values()) {
    const bounds = atoms.map(leastAtom);
    if (bounds.some((b) => b < 0) || (atoms.length > 0 && coefficient < 0)) return Number.NEGATIVE_INFINITY;
    sum += bounds.reduce((product, b) => product * b, coefficient);
  }
  return sum;
}

function leastAtom(text: string): number {
  if (!text.endsWith(")")) return 1;
  const known = made.get(text);
  if (!known) return Number.NEGATIVE_INFINITY;
  const [p, q] = known.of;
  switch (known.name) {
    case "floor": {
      const by = constantOf(q);
      if (by !== undefined) return Math.floor(least(p) / by);
      return least(p) >= 0 && least(q) > 0 ? 0 : Number.NEGATIVE_INFINITY;
    }
    case "max":
      return Math.max(least(p), least(q));
    case "min":
      return Math.min(least(p), least(q));
    default:
      return known.name satisfies never;
  }
}

export function extreme(name: "max" | "min", p: Poly, q: Poly): Poly | undefined {
  const [difference, other] = [minus(p, q), minus(q, p)];
  if (difference && least(difference) >= 0) return name === "max" ? p : q;
  if (other && least(other) >= 0) return name === "max" ? q : p;
  return remember(`${name}(${[polyText(p), polyText(q)].sort().join(",")})`, name, p, q);
}

/** `2*N+1`: terms in the order of their atoms, the number last. A name that is no identifier stands in braces, unless it is alone. */
export function polyText(p: Poly): string {
  const terms = [...p.values()].sort((a, b) => order(a, b));
  const only = terms[0];
  if (terms.length === 1 && only!.coefficient === 1 && only!.atoms.length === 1)
    return only!.atoms[0]!.replace(/^\{(.*)\}$/s, "$1");
  const text = terms.map(({ coefficient: c, atoms }) => {
    if (atoms.length === 0) return c < 0 ? `${c}` : `+${c}`;
    const sign = c < 0 ? "-" : "+";
    return `${sign}${Math.abs(c) === 1 ? "" : `${Math.abs(c)}*`}${atoms.join("*")}`;
  });
  return text.join("").replace(/^\+/, "") || "0";
}

function order(a: Term, b: Term): number {
  if (a.atoms.length === 0 || b.atoms.length === 0) return b.atoms.length - a.atoms.length;
  // A positive term first reads better: N-M and not -M+N.
  const sign = Math.sign(b.coefficient) - Math.sign(a.coefficient);
  const [x, y] = [keyOf(a.atoms), keyOf(b.atoms)];
  return sign || (x < y ? -1 : x > y ? 1 : 0);
}
