import { IR_OPSET, type Model } from "@pare/core";
import { parse } from "@pare/core/parse";
import { memorySink } from "@pare/io";
import { describe, expect, test } from "vitest";
import { onnxExporter } from "./exporter.ts";
import { openOnnx, writeOnnx } from "./open.ts";

const model = (header: string, body: string, opset = IR_OPSET) => parse(`<"": ${opset}>\nmain ${header} {\n${body}\n}`);
const written = async (m: Model, opset?: number) => {
  const sink = memorySink();
  await writeOnnx(m, sink, opset === undefined ? {} : { opset });
  const back = await openOnnx(sink.files.get("model.onnx")!, { upgrade: false });
  return { opset: back.opset, irVersion: back.irVersion };
};

describe("the opset that is written is the lowest that says the same", () => {
  const cases: readonly (readonly [what: string, lowest: number, header: string, body: string])[] = [
    ["operators of old", 7, "(x: float32[2]) => (y: float32[2])", "y = Relu(x)"],
    ["Softmax along an inner axis", 13, "(x: float32[2,3]) => (y: float32[2,3])", "y = Softmax<axis=0>(x)"],
    ["axes that were an attribute", 7, "(x: float32[2]) => (y: float32)", "a: int64[1] = {0}\ny = ReduceMean(x, a)"],
    ["parts that are alike", 7, "(x: float32[4]) => (y: float32)", "y, z = Split<num_outputs=2>(x)"],
    ["axes that are known late", 18, "(x: float32[2], a: int64[1]) => (y: float32)", "y = ReduceMax(x, a)"],
    ["int4", 21, "(x: int4[2]) => (y: float32[2])", "s: float32[] = {1}\ny = DequantizeLinear(x, s)"],
    ["an operator of 20", 20, "(x: string[2]) => (y: string[2])", "y = StringConcat(x, x)"],
  ];
  for (const [what, lowest, header, body] of cases)
    test(what, async () => {
      const m = model(header, body);
      expect((await written(m)).opset).toBe(lowest);
      expect((await written(m, 25)).opset).toBe(25);
      if (lowest === 7) return;
      const [problem] = onnxExporter.check(m, { opset: lowest - 1 });
      expect(problem!.code).toBe("onnx/opset-too-low");
      expect(problem!.hint).toContain(String(lowest));
    });
});

test("the IR version is what opset and element types need, and at least 8", async () => {
  expect(await written(model("(x: float32[2]) => (y: float32[2])", "y = Relu(x)"))).toEqual({ opset: 7, irVersion: 8 });
  const x = "(x: float32[2]) => (y: float32[2])";
  expect((await written(model(x, "y = Relu(x)"), 21)).irVersion).toBe(10);
  expect((await written(model(x, "y = Relu(x)"), 25)).irVersion).toBe(13);
  const int4 = model("(x: float32[2]) => (y: float32[2])", "w: int4[2] = {1, 2}\ny = acme.F(x, w)");
  expect(
    (
      await written({
        ...int4,
        opsets: new Map([
          ["", 7],
          ["acme", 1],
        ]),
      })
    ).irVersion,
  ).toBe(10);
});

test("a model of another opset stays at its own unless another is asked for", async () => {
  const old = model("(x: float32[2]) => (y: float32[2])", "y = Clip<min=0.0>(x)", 9);
  expect((await written(old)).opset).toBe(9);
  expect((await written(old, 13)).opset).toBe(13);
  for (const opset of [6, 28, 99, 17.5, Number.NaN])
    expect(onnxExporter.check(old, { opset }).map((d) => d.code)).toEqual(["onnx/opset"]);
});
