import { tensor } from "@pare/core";
import { parse } from "@pare/core/parse";
import { describe, expect, test } from "vitest";
import { channelsOf, extentOf, indicesOf } from "./channels.ts";

const f32 = (...shape: number[]) =>
  tensor("float32", shape, new Float32Array(shape.reduce((n, d) => n * d, 1)).fill(0.5));

/** By weight and axis: the group's number, its size and blocks, or why it stays. */
function said(text: string, weights: Record<string, ReturnType<typeof f32>>) {
  const { groups } = channelsOf(parse(text, { weights }));
  const found = new Map<string, string>();
  let number = 0;
  for (const [g, places] of groups) {
    const text = g.fixed === undefined ? `${number++}: ${g.size / g.blocks} of ${g.blocks}` : "stays";
    for (const { weight, axis } of places) found.set(`${weight}@${axis}`, text);
  }
  return Object.fromEntries(found);
}

describe("channels", () => {
  test("residual additions join what they add, and outputs stay", () => {
    const all = said(
      `main (x: float32[N,3,8,8]) => (y: float32[N,5]) {
        a: float32[6,3,1,1] = …  b: float32[4,6,1,1] = …  c: float32[6,4,1,1] = …  w: float32[6,5] = …
        h = Conv(x, a)  i = Conv(h, b)  r = Relu(i)  j = Conv(r, c)  s = Add(j, h)
        g = GlobalAveragePool(s)  f = Flatten(g)  y = MatMul(f, w)
      }`,
      { a: f32(6, 3, 1, 1), b: f32(4, 6, 1, 1), c: f32(6, 4, 1, 1), w: f32(6, 5) },
    );
    expect(all).toMatchObject({ "a@1": "stays", "w@1": "stays" });
    expect(new Set([all["a@0"], all["b@1"], all["c@0"], all["w@0"]])).toEqual(new Set(["0: 6 of 1"]));
    expect(all["b@0"]).toBe("1: 4 of 1");
    expect(all["c@1"]).toBe(all["b@0"]);
  });

  test("heads keep equal parts through splits, products and transpositions", () => {
    const all = said(
      `main (x: float32[N,7,8]) => (y: float32[N,7,8]) {
        w: float32[8,24] = …  o: float32[8,8] = …  s: int64[5] = {0, 7, 3, 2, 4}  z: int64[1] = {0}  m: int64[3] = {0, 7, 8}
        h = MatMul(x, w)  a = Reshape(h, s)  t = Transpose<perm=[2, 0, 3, 1, 4]>(a)
        q3, k3, v3 = Split<axis=0, num_outputs=3>(t)
        q = Squeeze(q3, z)  k = Squeeze(k3, z)  v = Squeeze(v3, z)
        kt = Transpose<perm=[0, 1, 3, 2]>(k)  e = MatMul(q, kt)  p = Softmax(e)  c = MatMul(p, v)
        u = Transpose<perm=[0, 2, 1, 3]>(c)  j = Reshape(u, m)  y = MatMul(j, o)
      }`,
      { w: f32(8, 24), o: f32(8, 8) },
    );
    expect(all).toEqual({ "w@0": "stays", "w@1": "0: 4 of 6", "o@0": "0: 4 of 6", "o@1": "stays" });
  });

  test("shapes that are computed for reshapes hold nothing back, other uses of a size do", () => {
    const source = (more: string) => `main (x: float32[N,3,4,4]) => (y: float32[N,2], z) {
        a: float32[8,3,1,1] = …  w: float32[128,2] = …  i: int64[1] = {0}  k: int64[1] = {1}  rest: int64[1] = {-1}
        h = Conv(x, a)  s = Shape(h)  n = Gather(s, i)  c = Gather(s, k)  t = Concat<axis=0>(n, rest)
        f = Reshape(h, t)  y = MatMul(f, w)  ${more}
      }`;
    const weights = { a: f32(8, 3, 1, 1), w: f32(128, 2) };
    const free = said(source("z = Identity(n)"), weights);
    expect(free).toMatchObject({ "a@0": "0: 8 of 1", "w@0": "0: 8 of 1" });
    expect(said(source("z = ConstantOfShape(c)"), weights)).toMatchObject({ "a@0": "stays" });
  });

  test("a shuffle of grouped channels keeps the groups", () => {
    const all = said(
      `main (x: float32[N,4,6,6]) => (y: float32[N,2,6,6]) {
        a: float32[8,4,1,1] = …  g: float32[8,4,1,1] = …  o: float32[2,8,1,1] = …
        s: int64[5] = {0, 2, 4, 6, 6}  b: int64[4] = {0, 8, 6, 6}
        h = Conv(x, a)  i = Conv<group=2>(h, g)  r = Reshape(i, s)  t = Transpose<perm=[0, 2, 1, 3, 4]>(r)
        k = Reshape(t, b)  y = Conv(k, o)
      }`,
      { a: f32(8, 4, 1, 1), g: f32(8, 4, 1, 1), o: f32(2, 8, 1, 1) },
    );
    expect(all).toMatchObject({ "a@0": "0: 4 of 2", "g@1": "0: 4 of 2", "g@0": "1: 4 of 2", "o@1": "1: 4 of 2" });
  });

  test("concatenated channels stand side by side, flattened ones are places in a row", () => {
    const model = parse(
      `main (x: float32[N,3,2,2]) => (y: float32[N,2]) {
        a: float32[2,3,1,1] = …  b: float32[3,3,1,1] = …  w: float32[20,2] = …
        h = Conv(x, a)  i = Conv(x, b)  c = Concat<axis=1>(h, i)  f = Flatten(c)  y = MatMul(f, w)
      }`,
      { weights: { a: f32(2, 3, 1, 1), b: f32(3, 3, 1, 1), w: f32(20, 2) } },
    );
    const channels = channelsOf(model);
    const axis = channels.axes("w")[0]!;
    expect(extentOf(axis)).toBe(20);
    // The second of two, and the first and third of three, four places each.
    const kept = indicesOf(axis, (g) => (g.size === 2 ? [1] : [0, 2]));
    expect(kept).toEqual([4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 18, 19]);
  });

  test("what is not known to fit stays", () => {
    const weights = { a: f32(4, 6), b: f32(6, 6), c: f32(3, 6) };
    const all = said(
      `main (x: float32[N,4], i: int64[2]) => (y: float32[N,2], z: float32[3,6]) {
        a: float32[4,6] = …  b: float32[6,6] = …  c: float32[3,6] = …
        h = MatMul(x, a)  k = MatMul(h, b)  y = Gather<axis=1>(k, i)  z = Softmax(c)
      }`,
      weights,
    );
    expect(all).toMatchObject({ "b@1": "stays", "c@0": "stays", "c@1": "stays", "a@1": "0: 6 of 1" });
  });
});
