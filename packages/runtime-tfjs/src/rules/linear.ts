import { elementCount } from "@pare/core";
import type { Tensor, Tf } from "../engine.ts";
import { broadcast, spreadTo } from "./axes.ts";
import { type Call, evaluated, float, floats, input, int, type Rules, refuse, text } from "./call.ts";

/** numpy's matmul: batches are brought to one shape, which TensorFlow.js's gradient does not do. */
export function matmul(tf: Tf, a: Tensor, b: Tensor): Tensor {
  const left = a.rank === 1 ? tf.expandDims(a, 0) : a;
  const right = b.rank === 1 ? tf.expandDims(b, 1) : b;
  if (left.rank < 2 || right.rank < 2) refuse(`[${a.shape}] and [${b.shape}] have no matrix product`);
  const [m, k] = left.shape.slice(-2) as [number, number];
  const n = right.shape.at(-1)!;
  const outer = broadcast(tf, left.shape.slice(0, -2), right.shape.slice(0, -2));
  const shape = [...outer, ...(a.rank === 1 ? [] : [m]), ...(b.rank === 1 ? [] : [n])];
  if (right.rank === 2) return tf.reshape(tf.matMul(tf.reshape(left, [left.size / k || 0, k]) as never, right), shape);
  const batch = elementCount(outer);
  const flat = (x: Tensor) => {
    const sides = x.shape.slice(-2);
    return tf.reshape(spreadTo(tf, x, [...outer, ...sides]), [batch, ...sides]);
  };
  return tf.reshape(tf.matMul(flat(left), flat(right)), shape);
}

function gemm(c: Call): Tensor {
  const { tf } = c;
  const [alpha, beta] = [float(c, "alpha", 1), float(c, "beta", 1)];
  const product = tf.matMul(input(c, 0), input(c, 1), int(c, "transA", 0) === 1, int(c, "transB", 0) === 1);
  const scaled = alpha === 1 ? product : tf.mul(product, alpha);
  const bias = c.tensors[2];
  return bias ? tf.add(scaled, beta === 1 ? bias : tf.mul(bias, beta)) : scaled;
}

/** Labels of each operand and of the result; those that an ellipsis stands for are digits. */
function termsOf(equation: string, ranks: readonly number[]): { readonly operands: string[]; readonly result: string } {
  const [left, right] = equation.replaceAll(" ", "").split("->") as [string, string | undefined];
  const given = left.split(",");
  if (given.length !== ranks.length) refuse(`Einsum ${equation} of ${ranks.length} operands`);
  const wide = given.map((term, i) => (term.includes("...") ? ranks[i]! - term.length + 3 : 0));
  const most = Math.max(0, ...wide);
  const dots = (count: number) =>
    Array.from({ length: count }, (_, i) => String.fromCharCode(0x100 + most - count + i)).join("");
  const operands = given.map((term, i) => term.replace("...", dots(wide[i]!)));
  const all = [...operands.join("")];
  const once = [...new Set(all)]
    .filter((l) => l < "\u0100" && all.indexOf(l) === all.lastIndexOf(l))
    .sort()
    .join("");
  return { operands, result: right === undefined ? dots(most) + once : right.replace("...", dots(most)) };
}

/** The diagonal of two axes of one label, as a sum over one of them where the other is the same. */
function diagonal(tf: Tf, x: Tensor, labels: string): { x: Tensor; labels: string } {
  const twice = [...labels].findIndex((l, i) => labels.indexOf(l) !== i);
  if (twice < 0) return { x, labels };
  const first = labels.indexOf(labels[twice]!);
  const size = x.shape[first]!;
  const mask = tf.reshape(
    tf.eye(size),
    x.shape.map((_, i) => (i === first || i === twice ? size : 1)),
  );
  const rest = [...labels].filter((_, i) => i !== twice).join("");
  return diagonal(tf, tf.sum(tf.mul(x, mask), twice), rest);
}

/** Two operands at a time: labels of both that are wanted later are batches, other labels of both are summed by a product. */
function einsum(c: Call): Tensor {
  const { tf } = c;
  const { operands, result } = termsOf(
    text(c, "equation", ""),
    c.tensors.map((x) => x!.rank),
  );
  const terms = operands.map((labels, i) => diagonal(tf, input(c, i), labels));
  const whole = terms.reduce((a, b, i) => {
    const wanted = new Set(
      result +
        terms
          .slice(i + 1)
          .map((t) => t.labels)
          .join(""),
    );
    return contracted(tf, a, b, wanted);
  });
  const summed = [...whole.labels].flatMap((l, i) => (result.includes(l) ? [] : [i]));
  const kept = [...whole.labels].filter((l) => result.includes(l));
  const sum = summed.length > 0 ? tf.sum(whole.x, summed) : whole.x;
  return tf.transpose(
    sum,
    [...result].map((l) => kept.indexOf(l)),
  );
}

interface Term {
  readonly x: Tensor;
  readonly labels: string;
}

function contracted(tf: Tf, a: Term, b: Term, wanted: ReadonlySet<string>): Term {
  const both = [...a.labels].filter((l) => b.labels.includes(l));
  const batch = both.filter((l) => wanted.has(l));
  const summed = both.filter((l) => !wanted.has(l));
  const own = (t: Term, other: Term) => [...t.labels].filter((l) => !other.labels.includes(l));
  const [left, right] = [own(a, b), own(b, a)];
  const sizeOf = (l: string) =>
    Math.max(...[a, b].map((t) => (t.labels.includes(l) ? t.x.shape[t.labels.indexOf(l)]! : 1)));
  const size = (labels: readonly string[]) => elementCount(labels.map(sizeOf));
  const ordered = (t: Term, groups: readonly (readonly string[])[]) => {
    const labels = groups.flat();
    const moved = tf.transpose(
      t.x,
      labels.map((l) => t.labels.indexOf(l)),
    );
    return tf.reshape(spreadTo(tf, moved, labels.map(sizeOf)), groups.map(size));
  };
  const product = tf.matMul(ordered(a, [batch, left, summed]), ordered(b, [batch, summed, right]));
  const labels = [...batch, ...left, ...right];
  return { x: tf.reshape(product, labels.map(sizeOf)), labels: labels.join("") };
}

export const linear: Rules = {
  ConvInteger: evaluated,
  Einsum: floats(einsum),
  Gemm: floats(gemm),
  MatMul: floats((c) => matmul(c.tf, input(c, 0), input(c, 1))),
  MatMulInteger: evaluated,
  QLinearConv: evaluated,
  QLinearMatMul: evaluated,
};
