import { dataOf, type Model, type ResidentTensor, run, tensor } from "@pare/core";
import { parse } from "@pare/core/parse";
import { evaluate } from "@pare/ops/evaluate";
import { describe, expect, test } from "vitest";
import { numbers } from "../test/acme.ts";
import { dynamicInt8 } from "./dynamic-int8.ts";

/** A product that three weights share the input of, and a layer on top. */
const network = (): Model =>
  parse(
    `main (x: float32[N,32]) => (y: float32[N,16]) {
      q: float32[32,32] = …  k: float32[32,32] = …  w: float32[16,32] = …  b: float32[16] = …
      a = MatMul(x, q)
      c = MatMul(x, k)
      s = Add(a, c)
      y = Gemm<transB=1>(s, w, b)
    }`,
    { weights: { q: numbers([32, 32], 1), k: numbers([32, 32], 2), w: numbers([16, 32], 3), b: numbers([16], 4) } },
  );

async function sqnr(a: Model, b: Model, x: ResidentTensor): Promise<number> {
  const [want, got] = await Promise.all(
    [a, b].map(async (m) => dataOf((await evaluate(m, { x }))["y"]!) as Float32Array),
  );
  let [signal, noise] = [0, 0];
  want!.forEach((v, i) => {
    signal += v * v;
    noise += (v - got![i]!) ** 2;
  });
  return 10 * Math.log10(signal / noise);
}

describe("dynamicInt8", () => {
  test("codes fit inputs of any size, and are made once for all that reads a value", async () => {
    const before = network();
    const { model, report } = await run(dynamicInt8(), before);
    expect(report.passes[0]!.done.map((d) => d.name)).toEqual(["q", "k", "w"]);
    const operators = model.graph.nodes.map((n) => n.op);
    expect(operators.filter((op) => op === "DynamicQuantizeLinear")).toHaveLength(2);
    for (const size of [1e-3, 1, 1e4])
      expect(await sqnr(before, model, numbers([4, 32], 9, -size, size))).toBeGreaterThan(35);
  });

  test("scales for each channel keep what one scale loses", async () => {
    const w = (dataOf(numbers([32, 32], 1)) as Float32Array).map((v, i) => v * 10 ** -(i % 4));
    const m = parse(
      `main (x: float32[N,32]) => (y: float32[N,32]) { w: float32[32,32] = …  h = MatMul(x, w)  y = Mul(h, s)  s: float32[32] = … }`,
      {
        weights: {
          w: tensor("float32", [32, 32], w),
          s: tensor(
            "float32",
            [32],
            Array.from({ length: 32 }, (_, i) => 10 ** (i % 4)),
          ),
        },
      },
    );
    const quality = async (granularity: "channel" | "tensor") =>
      sqnr(m, (await run(dynamicInt8({ granularity }), m)).model, numbers([4, 32], 9));
    const whole = await quality("tensor");
    expect(await quality("channel")).toBeGreaterThan(whole + 20);
  });

  test("says why it leaves a weight alone", async () => {
    const m = parse(
      `main (x: float32[N,32]) => (y: float32[32,32], z: float32[N,32]) {
        w: float32[32,32] = …  v: float32[32,32] = …
        t = Transpose<perm=[1,0]>(x)
        y = MatMul(w, t)
        u = Transpose<perm=[1,0]>(v)
        z = MatMul(x, u)
      }`,
      { weights: { w: numbers([32, 32], 1), v: numbers([32, 32], 2) } },
    );
    const { model, report } = await run(dynamicInt8(), m);
    expect(model).toBe(m);
    expect(report.passes[0]!.skipped).toMatchObject([
      { name: "w", reason: "is not the second factor of a product" },
      { name: "v", reason: "is read by something else than products of one kind with an activation" },
    ]);
  });
});
