import {
  attr,
  dataOf,
  definePass,
  edit,
  graph,
  model,
  node,
  pipeline,
  run,
  type Tensor,
  tensor,
  type Values,
  value,
} from "@pare/core";
import { threshold } from "@pare/prune";
import {
  blockWeights,
  dynamicInt8,
  equalize,
  fixedPoint,
  float16,
  int8,
  int8Weights,
  int12Weights,
} from "@pare/quantize";
import { expect, test } from "vitest";
import { barText } from "./command/progress.ts";
import { coverageProblems } from "./coverage.ts";
import { isSlower } from "./latency.ts";
import { suffixOf } from "./suffix.ts";
import { syntheticSamples } from "./synthetic.ts";
import { mlp } from "./test-models.ts";
import { verdictOf } from "./verdict.ts";

const collect = async (m: ReturnType<typeof model>, options = {}): Promise<Values[]> => {
  const list: Values[] = [];
  for await (const s of syntheticSamples(m, options).open()) list.push(s);
  return list;
};

test("made-up inputs fit the graph and are the same each time", async () => {
  const m = model(
    graph({
      inputs: [
        value("image", "float32", ["N", 3, "H", "W"]),
        value("ids", "int64", ["N", "L"]),
        value("attention_mask", "int64", ["N", "L"]),
        value("rate", "int64", []),
        value("state", "float16", [2, null, 8]),
      ],
      outputs: [value("y", "float32")],
      weights: new Map<string, Tensor>([
        ["table", tensor("float32", [5, 2], new Float32Array(10))],
        ["r", tensor("int64", [], [16000n])],
      ]),
      nodes: [node("Gather", ["table", "ids"], ["y"], { axis: attr.int(0) }), node("Equal", ["rate", "r"], ["b"])],
    }),
  );
  const [first, second] = await collect(m);
  expect(Object.fromEntries(Object.entries(first!).map(([k, t]) => [k, t.shape]))).toEqual({
    image: [1, 3, 224, 224],
    ids: [1, 16],
    attention_mask: [1, 16],
    rate: [],
    state: [2, 1, 8],
  });
  expect([...dataOf(first!["ids"]!)].every((id) => id >= 0n && Number(id) < 5)).toBe(true);
  expect(dataOf(first!["rate"]!)[0]).toBe(16000n);
  expect([...dataOf(first!["attention_mask"]!)].every((v) => v === 1n)).toBe(true);
  expect(first!["state"]!.dtype).toBe("float16");
  const same = (a: Values, b: Values) => Buffer.compare(a["image"]!.bytes, b["image"]!.bytes) === 0;
  expect(same(first!, second!)).toBe(false);
  expect(same((await collect(m))[1]!, second!)).toBe(true);
  const pixels = dataOf(first!["image"]!) as Float32Array;
  const mean = pixels.reduce((a, b) => a + b, 0) / pixels.length;
  expect(Math.abs(mean)).toBeLessThan(0.02);
  expect(Math.abs(pixels.reduce((a, b) => a + b * b, 0) / pixels.length - 1)).toBeLessThan(0.02);
  expect((await collect(m, { shapes: new Map([["image", [2, 3, 8, 8]]]), count: 1 }))[0]!["image"]!.shape).toEqual([
    2, 3, 8, 8,
  ]);
  await expect(collect(m, { shapes: new Map([["imag", [1]]]) })).rejects.toThrow(/no input imag/);
});

test("slower is what takes longer by more than measuring varies, in nearly every round", () => {
  const of = (...roundsMs: number[]) => {
    const sorted = roundsMs.toSorted((a, b) => a - b);
    return { medianMs: sorted[sorted.length >> 1]!, p90Ms: 0, minMs: sorted[0]!, runs: roundsMs.length, roundsMs };
  };
  const ten = (ms: number, first = ms) => of(first, ...new Array<number>(9).fill(ms));
  expect(isSlower(ten(1), ten(1.04))).toBe(true);
  expect(isSlower(ten(1), ten(1.01))).toBe(false);
  expect(isSlower(ten(1), ten(0.5))).toBe(false);
  // One busy moment of the machine is forgiven, two are not.
  expect(isSlower(ten(1, 9), ten(1.04))).toBe(true);
  expect(isSlower(of(9, 9, 1, 1, 1, 1, 1, 1, 1, 1), ten(1.04))).toBe(false);
  expect(isSlower(of(1, 1, 9), of(1.04, 1.04, 1.04))).toBe(false);
  expect(isSlower(of(9, 9, 1, 1, 1, 1, 1, 1, 1, 1), ten(1.2))).toBe(true);
});

test("suffixes are those of transformers.js", () => {
  const suffix = (...passes: Parameters<typeof suffixOf>[0]) => suffixOf(passes);
  expect(suffix(float16())).toBe("_fp16");
  expect(suffix(threshold(), float16())).toBe("_fp16");
  expect(suffix(int8Weights())).toBe("_int8");
  expect(suffix(fixedPoint({ bits: 8 }))).toBe("_quantized");
  expect(suffix(blockWeights({ bits: 4 }))).toBe("_q4");
  expect(suffix(blockWeights({ bits: 8 }))).toBe("_quantized");
  for (const pass of [int8(), dynamicInt8(), int12Weights()]) expect(suffix(equalize(), pass)).toBe("_quantized");
  expect(suffix(float16(), int8Weights())).toBe("_quantized");
  expect(suffix(pipeline("mine", [threshold(), int8Weights()]))).toBe("_int8");
  expect(suffix(threshold())).toBe("_small");
});

test("a run that did nothing is a failure, and one that simplified is not", async () => {
  const idle = definePass({ name: "idle", apiVersion: 1, run: (m) => m });
  const rename = definePass({
    name: "rename",
    apiVersion: 1,
    run: (m) => edit(m, (e) => e.setGraph(e.view.main, { name: "new" })),
  });
  const problems = async (pass: ReturnType<typeof idle>) =>
    coverageProblems((await run(pass, mlp())).report, mlp()).map((d) => d.message);
  expect(await problems(idle())).toEqual([expect.stringContaining("nothing was changed")]);
  expect(await problems(rename())).toEqual([]);
});

test("verdicts follow NaN, shape and SQNR", () => {
  const v = {
    name: "y",
    kind: "output" as const,
    op: "",
    position: 0,
    dtypes: ["float32", "float32"] as const,
    shapes: [[1], [1]] as const,
    elements: 100,
    sqnrDb: 50,
    maxAbsError: 0,
    maxRelativeError: 0,
    cosine: 1,
    rangeA: [0, 1] as const,
    rangeB: [0, 1] as const,
    notFiniteA: 0,
    notFiniteB: 0,
    broken: 0,
    equalShare: 1,
  };
  const codes = (change: Partial<typeof v> & { mismatch?: string }) =>
    verdictOf({ reference: "a", other: "b", samples: 1, values: [], notes: [], outputs: [{ ...v, ...change }] }).map(
      (d) => `${d.severity} ${d.code}`,
    );
  expect(codes({})).toEqual([]);
  expect(codes({ sqnrDb: 15 })).toEqual(["warning pare/inexact"]);
  expect(codes({ sqnrDb: 5 })).toEqual(["error pare/far-off"]);
  expect(codes({ broken: 1 })).toEqual(["error pare/not-finite"]);
  expect(codes({ mismatch: "has shape [1] and became [2]" })).toEqual(["error pare/output-shape"]);
});

test("a bar shows share and amounts", () => {
  expect(barText({ task: "write m.onnx", done: 5e6, total: 2e7, unit: "bytes" })).toBe(
    "write m.onnx  ██████░░░░░░░░░░░░░░░░░░  25 %  5.00 MB of 20.0 MB",
  );
  expect(barText({ task: "compare", done: 3, unit: "samples" })).toBe("compare  3 samples");
});
