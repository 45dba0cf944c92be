import { attr } from "@pare/core";
import type { GradientBuilder, GradientRule, GradientRules } from "./builder.ts";

const range = (from: number, to: number) => Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);

/** The last two axes exchanged. */
const flipped = (b: GradientBuilder, v: string, rank: number) =>
  b.transpose(v, [...range(0, rank - 2), rank - 1, rank - 2]);

const gemm = (b: GradientBuilder, left: string, right: string, transA: boolean, transB: boolean) =>
  b.add("Gemm", [left, right], {
    ...(transA && { transA: attr.int(1) }),
    ...(transB && { transB: attr.int(1) }),
  });

/** As a matrix of as many columns as the last axis. */
const rowsOf = (b: GradientBuilder, v: string) => {
  const last = b.shape(v)?.at(-1);
  if (b.rank(v) === 2) return v;
  return typeof last === "number" ? b.reshape(v, [-1, last]) : b.add("Flatten", [v], { axis: attr.int(-1) });
};

const matmul: GradientRule = (b) => {
  const [x, w] = [b.x(0), b.x(1)];
  const [p, q] = [b.rank(x), b.rank(w)];
  // One product for all rows, whatever the batch is.
  if (p >= 2 && q === 2) {
    const columns = b.shape(b.y())?.at(-1);
    const dy = () =>
      p === 2
        ? b.dy
        : typeof columns === "number"
          ? b.reshape(b.dy, [-1, columns])
          : b.add("Flatten", [b.dy], { axis: attr.int(-1) });
    return [
      () => {
        const dx = gemm(b, dy(), w, false, true);
        return p === 2 ? dx : b.reshapeLike(dx, x);
      },
      () => gemm(b, rowsOf(b, x), dy(), true, false),
    ];
  }
  // A vector is a matrix of one row on the left, and of one column on the right.
  const left = () => (p === 1 ? b.add("Unsqueeze", [x, b.ints([0])]) : x);
  const right = () => (q === 1 ? b.add("Unsqueeze", [w, b.ints([1])]) : w);
  const axes = [...(p === 1 ? [-2] : []), ...(q === 1 ? [-1] : [])];
  const dy = () => (axes.length > 0 ? b.add("Unsqueeze", [b.dy, b.ints(axes)]) : b.dy);
  const batches = range(0, Math.max(p, q, 2) - 2);
  return [
    () => {
      const whole = b.add("MatMul", [dy(), flipped(b, right(), Math.max(q, 2))]);
      if (p === 1) return b.reshapeLike(b.reduce("ReduceSum", whole, batches, false), x);
      return q === 1 ? whole : b.sumTo(whole, b.y(), x, true);
    },
    () => {
      const whole = b.add("MatMul", [flipped(b, left(), Math.max(p, 2)), dy()]);
      if (q === 1) return b.reshapeLike(b.reduce("ReduceSum", whole, batches, false), w);
      return p === 1 ? whole : b.sumTo(whole, b.y(), w, true);
    },
  ];
};

const gemmRule: GradientRule = (b) => {
  const [a, w] = [b.x(0), b.x(1)];
  const [ta, tb] = [b.intOf("transA", 0) !== 0, b.intOf("transB", 0) !== 0];
  const [alpha, beta] = [b.floatOf("alpha", 1), b.floatOf("beta", 1)];
  const scaled = (v: string, by: number) => (by === 1 ? v : b.calc("Mul", v, by));
  return [
    () => scaled(ta ? gemm(b, w, b.dy, tb, true) : gemm(b, b.dy, w, false, !tb), alpha),
    () => scaled(tb ? gemm(b, b.dy, a, true, ta) : gemm(b, a, b.dy, !ta, false), alpha),
    () => b.sumTo(scaled(b.dy, beta), b.y(), b.x(2)),
  ];
};

/** Each operand's gradient is the product of the others and of the output's, with its own letters. */
const einsum: GradientRule = (b) => {
  const equation = b.textOf("equation", "").replace(/\s/g, "");
  const [left, given] = equation.split("->") as [string, string | undefined];
  const terms = left.split(",");
  const counts = new Map<string, number>();
  for (const letter of left.replace(/[.,]/g, "")) counts.set(letter, (counts.get(letter) ?? 0) + 1);
  const implied = () =>
    [...counts]
      .flatMap(([letter, count]) => (count === 1 ? [letter] : []))
      .sort()
      .join("");
  const output = given ?? `${left.includes("...") ? "..." : ""}${implied()}`;
  return terms.map((term, i) => () => {
    const letters = term.replace("...", "");
    if (new Set(letters).size !== letters.length) b.refuse(`it reads a diagonal: ${equation}`);
    if (terms.some((t) => t.includes("..."))) return b.refuse(`its equation has an ellipsis: ${equation}`);
    const others = terms.flatMap((t, k) => (k === i ? [] : [{ term: t, value: b.x(k) }]));
    const seen = new Set([...output, ...others.flatMap((o) => [...o.term])]);
    const kept = [...letters].filter((letter) => seen.has(letter)).join("");
    const product = b.add("Einsum", [b.dy, ...others.map((o) => o.value)], {
      equation: attr.string(`${[output, ...others.map((o) => o.term)].join(",")}->${kept}`),
    });
    if (kept === letters) return product;
    // What only this operand has was summed: its gradient is the same all along.
    const axes = [...letters].flatMap((letter, at) => (seen.has(letter) ? [] : [at]));
    return b.add("Expand", [b.add("Unsqueeze", [product, b.ints(axes)]), b.shapeTensor(b.x(i))]);
  });
};

export const linear: GradientRules = { MatMul: matmul, Gemm: gemmRule, Einsum: einsum };
