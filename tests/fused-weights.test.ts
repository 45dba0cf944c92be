import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataOf, type Model, type ResidentTensor, run, tensor } from "@pare/core";
import { parse } from "@pare/core/parse";
import { openOnnx, ortX64, writeOnnx } from "@pare/onnx";
import { evaluate } from "@pare/ops/evaluate";
import { blockWeights, dynamicInt8 } from "@pare/quantize";
import { ort } from "@pare/runtime-ort";
import { trainedLike } from "@pare/testing";
import { afterAll, beforeAll, expect, test } from "vitest";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pare-fused-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Operators of what is written for a target, and what ONNX Runtime and the evaluator give. */
async function written(m: Model, inputs: Record<string, ResidentTensor>) {
  const file = join(folder, "model.onnx");
  await writeOnnx(m, file, { target: ortX64 });
  const source = await openOnnx(file);
  const operators = source.model.graph.nodes.map((n) => n.op);
  await source.close();
  const session = await ort({ isolate: false }).prepareFile!(file);
  const got = await session.run(inputs).finally(() => session.close());
  const want = await evaluate(m, inputs);
  const numbers = (t: ResidentTensor | undefined) => [...(dataOf(t as ResidentTensor<"float32">) as Float32Array)];
  return { operators, got: numbers(got["y"]), want: numbers(want["y"] as ResidentTensor) };
}

const relu = (rows: number, columns: number) =>
  parse(
    `main (x: float32[3,${rows}]) => (y: float32[3,${columns}]) {
      w: float32[${rows},${columns}] = …
      h = MatMul(x, w)
      y = Relu(h)
    }`,
    { weights: { w: trainedLike([rows, columns]) } },
  );
const gemm = (rows: number, columns: number) =>
  parse(
    `main (x: float32[3,${rows}]) => (y: float32[3,${columns}]) {
      w: float32[${columns},${rows}] = …  b: float32[${columns}] = …
      y = Gemm<transB=1>(x, w, b)
    }`,
    { weights: { w: trainedLike([columns, rows]), b: trainedLike([columns]) } },
  );

test.each([4, 8] as const)("ONNX Runtime multiplies by blocks of %s bits as DequantizeLinear says", async (bits) => {
  for (const symmetric of [true, false])
    for (const [rows, columns] of [
      [64, 40],
      [70, 33],
    ] as const)
      for (const [make, last] of [
        [relu, "Relu"],
        [gemm, "Add"],
      ] as const) {
        const { model } = await run(blockWeights({ bits, symmetric, blockSize: 16 }), make(rows, columns));
        const x = trainedLike([3, rows], 9) as ResidentTensor;
        const { operators, got, want } = await written(model, { x });
        expect(operators).toEqual(["MatMulNBits", last]);
        const most = Math.max(...want.map(Math.abs));
        got.forEach((v, i) => void expect(Math.abs(v - want[i]!)).toBeLessThan(1e-5 * most));
      }
});

const conv = () =>
  parse(
    `main (x: float32[2,8,6,6]) => (y: float32[2,8,6,6]) {
      w: float32[8,2,3,3] = …  b: float32[8] = …
      h = Conv<pads=[1,1,1,1], group=4>(x, w, b)
      y = Relu(h)
    }`,
    { weights: { w: trainedLike([8, 2, 3, 3]), b: trainedLike([8]) } },
  );

test("ONNX Runtime multiplies codes of ranges found at run time as the canonical form says", async () => {
  for (const granularity of ["channel", "tensor"] as const)
    for (const [m, shape, expected] of [
      [relu(64, 40), [3, 64], ["DynamicQuantizeLinear", "MatMulInteger", "Mul", "Cast", "Mul", "Relu"]],
      [gemm(64, 40), [3, 64], ["DynamicQuantizeLinear", "MatMulInteger", "Mul", "Cast", "Mul", "Add"]],
      [conv(), [2, 8, 6, 6], ["DynamicQuantizeLinear", "ConvInteger", "Mul", "Cast", "Mul", "Add", "Relu"]],
    ] as const) {
      const { model } = await run(dynamicInt8({ granularity, ops: ["MatMul", "Gemm", "Conv"] }), m);
      const { operators, got, want } = await written(model, { x: trainedLike(shape, 9) as ResidentTensor });
      expect(operators.sort()).toEqual([...expected].sort());
      const most = Math.max(...want.map(Math.abs));
      // The codes are the same; sums of floats are rounded in another order.
      got.forEach((v, i) => void expect(Math.abs(v - want[i]!)).toBeLessThan(1e-5 * most));
    }
});

test("blocks that the engine has no kernel for stay behind DequantizeLinear", async () => {
  const rows = 1024;
  const codes = tensor(
    "int8",
    [rows, 2],
    Int8Array.from({ length: 2 * rows }, (_, i) => (i % 7) - 3),
  );
  const m = parse(
    `main (x: float32[3,${rows}]) => (y: float32[3,2]) {
      q: int8[${rows},2] = …  s: float32[2,2] = …
      w = DequantizeLinear<axis=0, block_size=512>(q, s)
      y = MatMul(x, w)
    }`,
    { weights: { q: codes, s: tensor("float32", [2, 2], [1, 2, 3, 4]) } },
  );
  const { operators } = await written(m, { x: trainedLike([3, rows], 9) as ResidentTensor });
  expect(operators).toEqual(["DequantizeLinear", "MatMul"]);
});

test("without a target, and for readers that are no product, the operators stay those of ONNX", async () => {
  const { model } = await run(blockWeights(), relu(64, 40));
  const file = join(folder, "plain.onnx");
  await writeOnnx(model, file);
  const source = await openOnnx(file);
  expect(source.model.graph.nodes.map((n) => n.op)).toEqual(["DequantizeLinear", "MatMul", "Relu"]);
  await source.close();
  const scaled = parse(
    `main (x: float32[3,64]) => (y: float32[3,40]) { w: float32[64,40] = …  y = Gemm<alpha=2.0>(x, w) }`,
    { weights: { w: trainedLike([64, 40]) } },
  );
  const { operators } = await written((await run(blockWeights(), scaled)).model, {
    x: tensor("float32", [3, 64], new Float32Array(192)),
  });
  expect(operators).toEqual(["DequantizeLinear", "Gemm"]);
});
