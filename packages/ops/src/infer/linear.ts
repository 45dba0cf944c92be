import { attribute, type Dim } from "@pare/core";
import { add, floorDiv, mul } from "./dims.ts";
import {
  broadcast,
  broadcastDim,
  type Call,
  int,
  isGiven,
  replaced,
  type Shape,
  type ShapeRules,
  shapeAt,
} from "./rule.ts";

function matmul(a: Shape, b: Shape): Shape {
  if (!a || !b || a.length === 0 || b.length === 0) return undefined;
  const batch = broadcast([a.slice(0, -2), b.slice(0, -2)])!;
  return [...batch, ...(a.length > 1 ? [a.at(-2)!] : []), ...(b.length > 1 ? [b.at(-1)!] : [])];
}

/** Matrix products, einsum, attention. */
export const linear: ShapeRules = {
  MatMul: (c) => [matmul(shapeAt(c, 0), shapeAt(c, 1))],
  MatMulInteger: (c) => [matmul(shapeAt(c, 0), shapeAt(c, 1))],
  QLinearMatMul: (c) => [matmul(shapeAt(c, 0), shapeAt(c, 3))],
  Gemm: (c) => [
    [shapeAt(c, 0)?.[int(c, "transA", 0) ? 1 : 0] ?? null, shapeAt(c, 1)?.[int(c, "transB", 0) ? 0 : 1] ?? null],
  ],
  Det: (c) => [shapeAt(c, 0)?.slice(0, -2)],
  Einsum: (c) => [einsum(c)],
  Attention: attention,
  LinearAttention: linearAttention,
};

function einsum(c: Call): Shape {
  const equation = String(attribute(c.node, "equation", "string") ?? "").replaceAll(" ", "");
  const [left, right] = equation.split("->") as [string, string | undefined];
  const terms = left.split(",").map((t) => t.replace("...", "*"));
  if (terms.length !== c.inputs.length) return undefined;
  const dims = new Map<string, Dim>();
  let dots: Dim[] = [];
  for (const [i, term] of terms.entries()) {
    const shape = shapeAt(c, i);
    const rest = term.includes("*") ? shape && shape.length - (term.length - 1) : 0;
    if (rest === undefined || rest < 0) return undefined;
    let at = 0;
    for (const letter of term)
      if (letter === "*") {
        dots = [...(broadcast([dots, shape!.slice(at, at + rest)]) ?? [])];
        at += rest;
      } else {
        const dim = shape?.[at++] ?? null;
        dims.set(letter, dims.has(letter) ? (broadcastDim(dims.get(letter)!, dim) ?? null) : dim);
      }
  }
  const letters = [...left.replaceAll(/[.,]/g, "")];
  const implicit = () =>
    (left.includes("...") ? "*" : "") +
    letters
      .filter((l) => letters.indexOf(l) === letters.lastIndexOf(l))
      .sort()
      .join("");
  const out = right === undefined ? implicit() : right.replace("...", "*");
  return [...out].flatMap((letter) => (letter === "*" ? dots : [dims.get(letter) ?? null]));
}

/** Queries [B, heads, L, E], or [B, L, heads*E] with the number of heads as an attribute. */
function attention(c: Call): Shape[] {
  const [q, k, v] = [shapeAt(c, 0), shapeAt(c, 1), shapeAt(c, 2)];
  const qHeads = int(c, "q_num_heads", 0) || null;
  const kvHeads = int(c, "kv_num_heads", 0) || null;
  const split = (s: Shape, heads: Dim): Shape =>
    s?.length === 3
      ? [s[0]!, heads, s[1]!, heads === null ? null : floorDiv(s[2]!, heads)]
      : s?.length === 4
        ? s
        : undefined;
  const [query, key, val] = [split(q, qHeads), split(k, kvHeads), split(v, kvHeads)];
  const past = isGiven(c, 4) ? (shapeAt(c, 4)?.[2] ?? null) : 0;
  const length = add(past, key?.[2] ?? null);
  const width = val?.[3] ?? null;
  const heads = query?.[1] ?? null;
  const batch = query?.[0] ?? null;
  const y: Shape = q && (q.length === 3 ? [batch, q[1]!, mul(heads, width)] : [batch, heads, q[2] ?? null, width]);
  const present = (s: Shape) => s && replaced(s, [2, length]);
  return [y, present(key), present(val), query && [batch, heads, query[2]!, length]];
}

/** Queries [B, L, heads*E]; the state [B, heads, E, V]. */
function linearAttention(c: Call): Shape[] {
  const [q, k, v] = [shapeAt(c, 0), shapeAt(c, 1), shapeAt(c, 2)];
  const heads = int(c, "kv_num_heads", 0) || null;
  const queries = int(c, "q_num_heads", 0) || null;
  const part = (s: Shape): Dim => (s && heads !== null ? floorDiv(s.at(-1) ?? null, heads) : null);
  const width = part(v);
  const state = shapeAt(c, 3) ?? [q?.[0] ?? null, heads, part(k), width];
  return [q?.length === 3 ? [q[0]!, q[1]!, mul(queries, width)] : undefined, state];
}
