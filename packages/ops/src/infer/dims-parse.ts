import { atom, constant, constantOf, divide, extreme, type Poly, plus, times } from "./poly.ts";

const MOST_TEXT = 400;
const MOST_DEPTH = 32;

/** A quotient of polynomials; only inside `floor` or `ceil` may it stay one. */
interface Ratio {
  readonly num: Poly;
  readonly den: Poly;
}

type Lookup = (name: string) => Poly | undefined;

/**
 * The polynomial that a dimension's text is. A text that is no expression (`batch size`, `a/b`) is the name of a symbol.
 * Undefined where it is too long.
 */
export function parse(text: string, lookup?: Lookup): Poly | undefined {
  if (lookup) return read(text, lookup);
  let found = texts.get(text);
  if (found === undefined) {
    if (texts.size > 10_000) texts.clear();
    texts.set(text, (found = read(text, () => undefined) ?? null));
  }
  return found ?? undefined;
}

/** Texts that were read before, with what they are; bounded. */
const texts = new Map<string, Poly | null>();

function read(text: string, lookup: Lookup): Poly | undefined {
  if (/^[A-Za-z_][\w.]*$/.test(text)) return lookup(text) ?? atom(text);
  if (text.length > MOST_TEXT) return undefined;
  const tokens =
    text.match(/\{[^{}]*\}|[A-Za-z_][\w.]*|\d+|\/\/|[-+*/%(),]|\s+|./gs)?.filter((t) => t.trim() !== "") ?? [];
  const result = expression(tokens, lookup);
  const whole = result && (constantOf(result.den) === 1 ? result.num : undefined);
  if (whole) return whole;
  return /[{}]/.test(text) ? undefined : (lookup(text) ?? atom(`{${text}}`));
}

const ONE = constant(1);

function expression(tokens: readonly string[], lookup: Lookup): Ratio | undefined {
  let at = 0;
  let depth = 0;
  const take = (t: string) => tokens[at] === t && ++at > 0;

  const sum = (): Ratio | undefined => {
    if (++depth > MOST_DEPTH) return undefined;
    let left = product();
    while (left && (tokens[at] === "+" || tokens[at] === "-")) {
      const sign = tokens[at++] === "-" ? -1 : 1;
      const right = product();
      left = right && addRatio(left, right, sign);
    }
    depth--;
    return left;
  };
  const product = (): Ratio | undefined => {
    let left = factor();
    for (;;) {
      const op = tokens[at];
      if (!left || (op !== "*" && op !== "/" && op !== "//" && op !== "%")) return left;
      at++;
      const right = factor();
      left = right && scaleRatio(op, left, right);
    }
  };
  const factor = (): Ratio | undefined => {
    if (take("-")) {
      if (++depth > MOST_DEPTH) return undefined;
      const inner = factor();
      depth--;
      return inner && mulRatio(inner, { num: constant(-1), den: ONE });
    }
    if (take("(")) {
      const inner = sum();
      return take(")") ? inner : undefined;
    }
    const token = tokens[at++];
    if (token === undefined) return undefined;
    if (/^\d/.test(token)) {
      const value = Number(token);
      return Number.isSafeInteger(value) ? { num: constant(value), den: ONE } : undefined;
    }
    if (token.startsWith("{")) return { num: lookup(token.slice(1, -1)) ?? atom(token), den: ONE };
    if (!/^[A-Za-z_]/.test(token)) return undefined;
    if (!take("(")) return { num: lookup(token) ?? atom(token), den: ONE };
    const parts: Ratio[] = [];
    do {
      const part = sum();
      if (!part) return undefined;
      parts.push(part);
    } while (take(","));
    return take(")") ? call(token.toLowerCase(), parts) : undefined;
  };

  const result = sum();
  return at === tokens.length ? result : undefined;
}

const ratio = (num: Poly | undefined, den: Poly | undefined): Ratio | undefined => num && den && { num, den };
const whole = (num: Poly | undefined) => ratio(num, ONE);

const mulRatio = (a: Ratio, b: Ratio) => ratio(times(a.num, b.num), times(a.den, b.den));

function addRatio(a: Ratio, b: Ratio, sign: number): Ratio | undefined {
  const [x, y] = [times(a.num, b.den), times(times(b.num, a.den) ?? ONE, constant(sign))];
  return x && y && ratio(plus(x, y), times(a.den, b.den));
}

function scaleRatio(op: "*" | "/" | "//" | "%", a: Ratio, b: Ratio): Ratio | undefined {
  if (op === "*") return mulRatio(a, b);
  const divided = mulRatio(a, { num: b.den, den: b.num });
  if (op === "/") return divided;
  const floor = divided && floored(divided);
  if (op === "//" || !floor) return floor;
  const back = mulRatio(floor, b);
  return back && addRatio(a, back, -1);
}

const floored = ({ num, den }: Ratio) => whole(divide(num, den));

function call(name: string, parts: readonly Ratio[]): Ratio | undefined {
  const [first, ...rest] = parts as [Ratio, ...Ratio[]];
  switch (name) {
    case "floor":
      return rest.length === 0 ? floored(first) : undefined;
    case "ceil":
    case "ceiling": {
      // ceil(a/b) = floor((a + b - 1) / b)
      const up = plus(plus(first.num, first.den) ?? ONE, constant(-1));
      return rest.length === 0 ? whole(up && divide(up, first.den)) : undefined;
    }
    case "max":
    case "min": {
      if (parts.some((p) => constantOf(p.den) !== 1)) return undefined;
      const found = rest.reduce<Poly | undefined>((p, q) => p && extreme(name, p, q.num), first.num);
      return whole(found);
    }
    default:
      return undefined;
  }
}
