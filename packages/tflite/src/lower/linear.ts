import { elementCount, isFloat } from "@pare/core";
import { integerRange } from "@pare/ops/numeric";
import { type Context, type Lowerings, refuse } from "./context.ts";
import { compute, mul, plus, widened } from "./elementwise.ts";
import type { Val } from "./program.ts";

/** Takes out the dimensions that vectors were given. */
function without(c: Context, full: Val, left: Val, right: Val): Val {
  const shape = [...full.shape];
  if (right.shape.length === 1) shape.pop();
  if (left.shape.length === 1) shape.splice(shape.length - (right.shape.length === 1 ? 1 : 2), 1);
  return c.reshape(full, shape);
}

/** The product of matrices as ONNX's MatMul defines it, in the type of the first. */
export function product(c: Context, given: Val, other: Val): Val {
  if (!isFloat(given.dtype)) return integerProduct(c, given, other);
  const [x, y] = [widened(c, given, ["float32"]), widened(c, other, ["float32"])];
  const a = x.shape.length === 1 ? c.reshape(x, [1, x.shape[0]!]) : x;
  const b = y.shape.length === 1 ? c.reshape(y, [y.shape[0]!, 1]) : y;
  const isWeight = b.data !== undefined && b.shape.length === 2;
  return c.cast(without(c, isWeight ? c.dense(a, c.transpose(b, [1, 0])) : c.matmul(a, b), x, y), given.dtype);
}

/** As a sum of products: TFLite multiplies matrices of plain integers nowhere. */
function integerProduct(c: Context, given: Val, other: Val): Val {
  const types = ["int32", "int64"] as const;
  const [x, y] = [widened(c, given, types), widened(c, other, types)];
  const a = c.reshape(x, x.shape.length === 1 ? [1, x.shape[0]!, 1] : [...x.shape, 1]);
  const b = c.reshape(
    y,
    y.shape.length === 1 ? [1, y.shape[0]!, 1] : [...y.shape.slice(0, -2), 1, ...y.shape.slice(-2)],
  );
  const products = c.binary("MUL", a, b);
  return c.cast(without(c, c.reduce("SUM", products, [products.shape.length - 2], false), x, y), given.dtype);
}

function gemm(c: Context) {
  const [alpha, beta] = [c.float("alpha", 1), c.float("beta", 1)];
  const [a, b] = [0, 1].map((i) => widened(c, c.in(i), ["float32"])) as [Val, Val];
  const bias = c.maybe(2) && widened(c, c.in(2), ["float32"]);
  const x = c.int("transA", 0) === 1 ? c.transpose(a, [1, 0]) : a;
  const weight = c.int("transB", 0) === 1 ? b : c.transpose(b, [1, 0]);
  const isRow = bias && (bias.shape.length === 1 || (bias.shape.length === 2 && bias.shape[0] === 1));
  const fits = isRow && elementCount(bias.shape) === weight.shape[0] && alpha === 1 && beta === 1;
  const dense = c.dense(x, weight, fits ? c.reshape(bias, [weight.shape[0]!]) : undefined);
  const scaled = alpha === 1 ? dense : mul(c, dense, alpha);
  const whole = fits || !bias ? scaled : plus(c, scaled, beta === 1 ? bias : mul(c, bias, beta));
  c.give(0, c.cast(whole, c.in(0).dtype));
}

/** `bij,bjk->bik`, with an ellipsis as letters of its own. */
function equationOf(text: string, ranks: readonly number[]) {
  const [left = "", right] = text.replaceAll(" ", "").split("->");
  const sources = left.split(",");
  const dotsOf = (term: string, rank: number) => (term.includes("...") ? rank - term.replace("...", "").length : 0);
  const most = Math.max(0, ...sources.map((t, i) => dotsOf(t, ranks[i]!)));
  const lettersOf = (term: string, dots: number) => {
    const [before = "", after] = term.split("...");
    if (after === undefined) return [...term];
    return [...before, ...Array.from({ length: dots }, (_, i) => `.${most - dots + i}`), ...after];
  };
  const terms = sources.map((t, i) => lettersOf(t, dotsOf(t, ranks[i]!)));
  if (right !== undefined) return { terms, result: lettersOf(right, most) };
  const all = terms.flat();
  const once = [...new Set(all)].filter((l) => !l.startsWith(".") && all.indexOf(l) === all.lastIndexOf(l)).sort();
  return { terms, result: [...Array.from({ length: most }, (_, i) => `.${i}`), ...once] };
}

function einsum(c: Context) {
  const values = c.inputs.map((_, i) => c.in(i));
  const ranks = values.map((v) => v.shape.length);
  const { terms, result } = equationOf(c.text("equation", ""), ranks);
  const single = values.map((v, i) => diagonals(c, widened(c, v, ["float32", "int32", "int64"]), terms[i]!));
  const letters = [...new Set([...result, ...single.flatMap((s) => s.letters)])];
  if (letters.length > 6) refuse("its equation has more than 6 letters");
  const whole = single.map(({ value, letters: own }) => {
    const kept = letters.filter((l) => own.includes(l));
    const turned = c.transpose(
      value,
      kept.map((l) => own.indexOf(l)),
    );
    return c.reshape(
      turned,
      letters.map((l) => (own.includes(l) ? value.shape[own.indexOf(l)]! : 1)),
    );
  });
  const multiplied = whole.reduce((a, b) => c.binary("MUL", a, b));
  const summed = letters.map((l, i) => (result.includes(l) ? -1 : i)).filter((i) => i >= 0);
  c.give(0, c.cast(c.reduce("SUM", multiplied, summed, false), values[0]!.dtype));
}

/** Letters that come twice in a term take the diagonal. */
function diagonals(
  c: Context,
  v: Val,
  letters: readonly string[],
): { readonly value: Val; readonly letters: string[] } {
  let value = v;
  let left = [...letters];
  for (;;) {
    const second = left.findIndex((l, i) => left.indexOf(l) < i);
    if (second < 0) return { value, letters: left };
    const first = left.indexOf(left[second]!);
    const rest = left.map((_, i) => i).filter((i) => i !== first && i !== second);
    const turned = c.transpose(value, [first, second, ...rest]);
    const n = turned.shape[0]!;
    const flat = c.reshape(turned, [n * n, ...turned.shape.slice(2)]);
    value = c.gather(flat, c.ints(Array.from({ length: n }, (_, i) => i * (n + 1))), 0);
    left = [left[first]!, ...rest.map((i) => left[i]!)];
  }
}

function det(c: Context) {
  const x = c.in(0);
  const n = x.shape.at(-1)!;
  if (n > 4) refuse("it is larger than 4 by 4", "Compute it outside of the model.");
  const outer = x.shape.slice(0, -2);
  const at = (i: number, j: number): Val =>
    c.reshape(c.slice(x, [...outer.map(() => 0), i, j], [...outer, 1, 1]), outer);
  const minor = (row: number, columns: readonly number[]): Val => {
    if (columns.length === 1) return at(row, columns[0]!);
    const parts = columns.map((column, k) => {
      const term = c.binary(
        "MUL",
        at(row, column),
        minor(
          row + 1,
          columns.filter((other) => other !== column),
        ),
      );
      return k % 2 === 0 ? term : c.unary("NEG", term);
    });
    return parts.reduce((a, b) => c.binary("ADD", a, b));
  };
  c.give(
    0,
    minor(
      0,
      Array.from({ length: n }, (_, i) => i),
    ),
  );
}

function matMulInteger(c: Context) {
  const shifted = (i: number, zero: number, byRow: boolean): Val => {
    const v = c.cast(c.in(i), "int32");
    const z = c.maybe(zero);
    if (!z) return v;
    const single = elementCount(z.shape) === 1;
    const shape = single ? [] : z.shape.length === 1 && byRow ? [z.shape[0]!, 1] : z.shape;
    return compute(c, "SUB", v, c.cast(c.reshape(z, shape), "int32"), ["int32"]);
  };
  c.give(0, product(c, shifted(0, 2, true), shifted(1, 3, false)));
}

/** Codes of the product of what two tensors of codes stand for. */
function qLinearMatMul(c: Context) {
  const scalar = (i: number, side: "row" | "column"): Val => {
    const v = c.in(i);
    const count = elementCount(v.shape);
    if (count === 1) return c.reshape(v, []);
    if (v.shape.length !== 1) return refuse("its scales have more than one dimension");
    return c.reshape(v, side === "row" ? [count, 1] : [1, count]);
  };
  const codes = (i: number, zero: number, side: "row" | "column") =>
    c.binary("SUB", c.cast(c.in(i), "int32"), c.cast(scalar(zero, side), "int32"));
  const sums = c.cast(product(c, codes(0, 2, "row"), codes(3, 5, "column")), "float32");
  const factor = c.binary("DIV", mul(c, ...scalesOf(c, scalar)), widened(c, scalar(6, "column"), ["float32"]));
  const shifted = plus(c, c.unary("ROUND", mul(c, sums, factor)), c.cast(scalar(7, "column"), "float32"));
  const dtype = c.in(7).dtype;
  const [low, high] = integerRange(dtype)!.map(Number) as [number, number];
  const held = c.binary("MINIMUM", c.binary("MAXIMUM", shifted, c.scalar(low, shifted)), c.scalar(high, shifted));
  c.give(0, c.cast(c.cast(held, "int32"), dtype));
}

const scalesOf = (c: Context, scalar: (i: number, side: "row" | "column") => Val): readonly [Val, Val] => [
  widened(c, scalar(1, "row"), ["float32"]),
  widened(c, scalar(4, "column"), ["float32"]),
];

export const linear: Lowerings = {
  QLinearMatMul: qLinearMatMul,
  MatMul: (c) => c.give(0, product(c, c.in(0), c.in(1))),
  Gemm: gemm,
  Einsum: einsum,
  Det: det,
  MatMulInteger: matMulInteger,
};
