import {
  attr,
  type DType,
  graph,
  IR_OPSET,
  isPareError,
  model,
  node,
  type ResidentTensor,
  tensor,
  value,
} from "@pare/core";
import { codeOf } from "@pare/ops/dtype-codes";
import { bigIntsOf, encodeFloat, numbersOf, tensorOf } from "@pare/ops/numeric";
import { describe, expect, test } from "vitest";
import { tfjs } from "./index.node.ts";

const i64 = (...values: readonly (number | bigint)[]) => tensor("int64", [values.length], values);

/** One operator on given inputs. */
async function compute(
  backend: string,
  op: string,
  inputs: readonly ResidentTensor[],
  attributes: Parameters<typeof node>[3] = {},
) {
  const names = inputs.map((_, i) => `x${i}`);
  const m = model(
    graph({
      inputs: inputs.map((t, i) => value(names[i]!, t.dtype, t.shape)),
      nodes: [node(op, names, ["y"], attributes)],
      outputs: [{ name: "y" }],
    }),
  );
  const session = await tfjs({ backend }).prepare(m);
  const { y } = await session.run(Object.fromEntries(inputs.map((t, i) => [names[i]!, t])));
  await session.close();
  return { y: y!, evaluated: session.evaluated };
}

const codeOfError = (run: Promise<unknown>) =>
  run.then(
    () => "none",
    (error) => (isPareError(error) ? error.code : String(error)),
  );

describe.each(["cpu", "wasm"])("%s", (backend) => {
  test("int64 is exact wherever it is computed, beyond 32 bits too", async () => {
    const large = [2n ** 40n + 1n, -(2n ** 62n), 7n, -1n];
    const sum = await compute(backend, "Add", [i64(...large), i64(1, 2, 2 ** 31 - 1, -1)]);
    expect([...bigIntsOf(sum.y as ResidentTensor<"int64">)]).toEqual([
      2n ** 40n + 2n,
      -(2n ** 62n) + 2n,
      2n ** 31n + 6n,
      -2n,
    ]);
    expect([...sum.evaluated]).toEqual(["Add"]);
    // Moving what does not fit is left to the evaluator, what fits to the engine.
    const moved = await compute(backend, "Gather", [i64(...large), i64(0, 3)]);
    expect([...bigIntsOf(moved.y as ResidentTensor<"int64">)]).toEqual([large[0], large[3]]);
    expect([...moved.evaluated]).toEqual(["Gather"]);
    const small = await compute(backend, "Gather", [i64(5, 6, -7), i64(-1, 0)]);
    expect([...bigIntsOf(small.y as ResidentTensor<"int64">)]).toEqual([-7n, 5n]);
    expect(small.evaluated.size).toBe(0);
  });

  test.each(["uint8", "int8", "int16", "uint16", "int32", "uint32"] as const)("%s wraps around", async (dtype) => {
    const most = { uint8: 255, int8: 127, int16: 32767, uint16: 65535, int32: 2 ** 31 - 1, uint32: 2 ** 32 - 1 }[dtype];
    const one = tensor(dtype, [3], [most, 1, 2]);
    for (const [op, wanted] of [
      ["Add", [most + 1, 3, 4]],
      ["Mul", [most * most, 2, 4]],
    ] as const) {
      const other = op === "Add" ? tensor(dtype, [3], [1, 2, 2]) : tensor(dtype, [3], [most, 2, 2]);
      const { y } = await compute(backend, op, [one, other]);
      // The low bits of the exact number.
      const bits = BigInt(dtype.replace(/\D/g, ""));
      const exact = op === "Mul" ? [BigInt(most) * BigInt(most), 2n, 4n] : wanted.map(BigInt);
      const low = exact.map((v) =>
        Number(dtype.startsWith("u") ? BigInt.asUintN(Number(bits), v) : BigInt.asIntN(Number(bits), v)),
      );
      expect([...numbersOf(y)]).toEqual(low);
    }
  });

  test.each(["float16", "bfloat16"] as const)("%s is rounded after each operator, ties to even", async (dtype) => {
    const scale = (i: number) => 2 ** ((i % 44) - 26) * (dtype === "float16" ? 1 : 2 ** ((i % 5) * 12 - 24));
    const values = Float32Array.from({ length: 4000 }, (_, i) => Math.sin(i * 12.9898) * scale(i) * 3);
    const ties = [2049, 2051, 65504, 65519, 65520, 1e30, -65520, 0, -0, 2 ** -25, 3 * 2 ** -26, 2 ** -24, 257, 259];
    const all = Float32Array.from([
      ...values,
      ...ties,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      3.4e38,
    ]);
    const cast = await compute(backend, "Cast", [tensor("float32", [all.length], all)], {
      to: attr.int(codeOf(dtype)),
    });
    const bits = new Uint16Array(cast.y.bytes.buffer, cast.y.bytes.byteOffset, all.length);
    const wrong = [...all].flatMap((v, i) => {
      const expected = encodeFloat(dtype, v);
      return bits[i] === expected || (Number.isNaN(v) && (bits[i]! & 0x7f80) === 0x7f80) || v === 0
        ? []
        : [[v, bits[i], expected]];
    });
    expect(wrong).toEqual([]);
    const big = tensorOf(dtype, [2], [2 ** 11, 1]);
    // 2049 is none of float16, 257 none of bfloat16.
    const sum = await compute(backend, "Add", [big, tensorOf(dtype, [2], [1, 2 ** -12])]);
    expect([...numbersOf(sum.y)]).toEqual([2 ** 11, 1]);
  });

  test("truth values stay 0 and 1", async () => {
    const x = tensor("float32", [4], [5, 0, -0.5, Number.NaN]);
    const { y } = await compute(backend, "Cast", [x], { to: attr.int(codeOf("bool")) });
    expect([...y.bytes]).toEqual([1, 0, 1, 1]);
    const wide = await compute(backend, "Cast", [y], { to: attr.int(codeOf("float32")) });
    expect([...numbersOf(wide.y)]).toEqual([1, 0, 1, 1]);
  });

  test("float64 and strings are refused by name, not carried as something else", async () => {
    for (const dtype of ["float64", "string", "complex64"] as DType[]) {
      const m = model(
        graph({ inputs: [value("x", dtype, [2])], nodes: [node("Identity", ["x"], ["y"])], outputs: [{ name: "y" }] }),
      );
      expect(await codeOfError(tfjs({ backend }).prepare(m))).toBe("tfjs/dtype");
    }
  });

  test("an index out of range is an error", async () => {
    const x = tensor("float32", [2, 2], [1, 2, 3, 4]);
    expect(await codeOfError(compute(backend, "Gather", [x, i64(2)]))).toBe("tfjs/refused");
    const wide = tensor("int64", [1, 2], [0, 5]);
    expect(await codeOfError(compute(backend, "GatherElements", [x, wide]))).toBe("tfjs/refused");
    expect(await codeOfError(compute(backend, "GatherND", [x, wide]))).toBe("tfjs/refused");
  });

  test("a rank that kernels of WebAssembly do not take is computed all the same", async () => {
    const shape = [1, 2, 1, 2, 1, 2, 1];
    const x = tensor("float32", shape, [1, 2, 3, 4, 5, 6, 7, 8]);
    const { y } = await compute(backend, "Add", [x, tensor("float32", [2, 1], [10, 20])]);
    expect([...numbersOf(y)]).toEqual([11, 22, 13, 24, 15, 26, 17, 28]);
  });
});

test("models of another opset and operators of nobody are refused with all their nodes", async () => {
  const g = graph({
    inputs: [value("x", "float32", [2])],
    nodes: [node("Nope", ["x"], ["a"], {}, { domain: "acme" }), node("Relu", ["a"], ["b"]), node("Det", ["b"], ["y"])],
    outputs: [{ name: "y" }],
  });
  const opsets = new Map([
    ["", IR_OPSET],
    ["acme", 1],
  ]);
  const error = await tfjs({ backend: "cpu" })
    .prepare(model(g, { opsets }))
    .catch((e) => e);
  expect(error.diagnostics.map((d: { location: { op: string } }) => d.location.op)).toEqual(["Nope", "Det"]);
  const old = model(g, { opsets: new Map([["", 11]]) });
  expect(await codeOfError(tfjs({ backend: "cpu" }).prepare(old))).toBe("tfjs/refused");
});
