import { dataOf, type ResidentTensor, resident, run, samplesFrom, tensor, viewOf } from "@pare/core";
import { parse } from "@pare/core/parse";
import { evaluate } from "@pare/ops/evaluate";
import { gather } from "@pare/ops/observe";
import { int8 } from "@pare/quantize";
import { evaluatorRuntime, trainedLike } from "@pare/testing";
import { expect, test } from "vitest";
import { orion } from "./index.ts";

const model = parse(
  `main (x: float32[1,3,8,8]) => (y: float32[1,5,4,4]) {
    w: float32[8,3,3,3] = …  b: float32[8] = …  v: float32[5,8,1,1] = …
    a = Conv<pads=[1,1,1,1]>(x, w, b)
    r = Relu(a)
    p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r)
    y = Conv(p, v)
  }`,
  { weights: { w: trainedLike([8, 3, 3, 3], 1), b: trainedLike([8], 2), v: trainedLike([5, 8, 1, 1], 3) } },
);
const inputs = Array.from({ length: 4 }, (_, i) => ({ x: trainedLike([1, 3, 8, 8], 10 + i) as ResidentTensor }));

test("int8 puts codes where the vendor's tables say, and reports what its chip does not take", async () => {
  const host = { runtime: evaluatorRuntime, samples: samplesFrom(inputs), gather, target: orion };
  const { model: made, report } = await run(int8(), model, host);
  expect(report.passes[0]).toMatchObject({
    done: [{ name: "a" }],
    skipped: [{ name: "y", reason: "has 5 output channels" }],
  });
  const codes = dataOf((await resident(made.graph.weights.get("w_quantized")!)) as ResidentTensor<"int8">);
  expect(Math.max(...codes.map(Math.abs))).toBe(31);
  expect(made.graph.weights.get("w_scale")!.shape).toEqual([]);
  const { main } = viewOf(made);
  expect(main.producer(main.producer("r")!.inputs[0]!)!.op).toBe("QuantizeLinear");
  const x = tensor("float32", [1, 3, 8, 8], dataOf(inputs[1]!.x) as Float32Array);
  const [want, got] = await Promise.all([model, made].map(async (m) => dataOf((await evaluate(m, { x }))["y"]!)));
  const worst = Math.max(...Array.from(want as Float32Array, (v, i) => Math.abs(v - Number(got![i]))));
  expect(worst).toBeLessThan(0.1 * Math.max(...Array.from(want as Float32Array, Math.abs)));
});
