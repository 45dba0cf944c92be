import { isFloat, isPareError, type ResidentTensor, type Runtime } from "@pare/core";
import { graphCases, type ModelCase, modelOfCase, operatorCases } from "@pare/ops/cases";
import { numbersOf } from "@pare/ops/numeric";
import { litert } from "@pare/runtime-litert";
import { ort } from "@pare/runtime-ort";
import { expect, test } from "vitest";

/** What a runtime answers to a case: `same`, `differs`, or the code of the error with which it refuses. */
async function opinion(runtime: Runtime, { model, inputs, outputs }: ModelCase): Promise<string> {
  try {
    const session = await runtime.prepare(model);
    const got = await session.run(inputs).finally(() => session.close());
    return Object.entries(outputs).every(([name, expected]) => isClose(got[name]!, expected)) ? "same" : "differs";
  } catch (error) {
    if (isPareError(error)) return error.code;
    throw error;
  }
}

/** The names of cases by the answer of a runtime. */
async function answers(runtime: Runtime, list: readonly ModelCase[]): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = new Map<string, string[]>();
  for (const c of list) {
    const answer = await opinion(runtime, c);
    found.set(answer, [...(found.get(answer) ?? []), c.name]);
  }
  return found;
}

const cases = [...operatorCases.map(modelOfCase), ...graphCases];

function isClose(got: ResidentTensor, expected: ResidentTensor): boolean {
  if (got.dtype !== expected.dtype || String(got.shape) !== String(expected.shape)) return false;
  const tolerance = isFloat(got.dtype) ? 1e-4 : 0;
  const numbers = numbersOf(got);
  return numbersOf(expected).every(
    (e, i) => Object.is(e, numbers[i]) || Math.abs(e - numbers[i]!) <= tolerance * (1 + Math.abs(e)),
  );
}

test("ONNX Runtime agrees with the cases of operators, as far as it has them", async () => {
  const found = await answers(ort({ isolate: false, threads: 1, graphOptimization: "disabled" }), cases);
  const refused = [...found].filter(([answer]) => answer.startsWith("ort/")).flatMap(([, names]) => names);
  expect(found.get("differs")).toBeUndefined();
  expect(refused).toEqual([
    "Resize mode=cubic", // of one axis
    "LinearAttention q_num_heads=1 kv_num_heads=1 update_rule=linear",
    "CausalConvWithState activation=silu",
  ]);
});

/** The case with all inputs but the first as weights, as real models hold shapes, axes and the like. */
function frozen({ name, model, inputs, outputs }: ModelCase): ModelCase {
  const [first, ...held] = model.graph.inputs;
  const weights = new Map(model.graph.weights);
  for (const v of held) weights.set(v.name, inputs[v.name]!);
  const graph = { ...model.graph, inputs: model.graph.inputs.slice(0, 1), weights };
  return { name, model: { ...model, graph }, inputs: first ? { [first.name]: inputs[first.name]! } : {}, outputs };
}

test("LiteRT agrees with them as far as they can be said in TFLite", async () => {
  const runtime = litert({ isolate: false });
  const found = await answers(runtime, cases);
  const refused = new Set(found.get("tflite/refused"));
  const second = await answers(
    runtime,
    cases.filter((c) => refused.has(c.name) && c.model.graph.inputs.every((v) => c.inputs[v.name])).map(frozen),
  );
  expect(found.get("same")!.length + second.get("same")!.length).toBeGreaterThan(240);
  // LiteRT has no buffers for values without elements.
  const expected = ["litert/input", "litert/output", "same", "tflite/refused"];
  expect([...found.keys(), ...second.keys()].filter((answer) => !expected.includes(answer))).toEqual([]);
  expect(second.get("tflite/refused")).toMatchInlineSnapshot(`
    [
      "BitCast to=6",
      "Range",
      "ConstantOfShape",
      "NonZero",
      "Unique",
      "TfIdfVectorizer mode=TFIDF min_gram_length=1 max_gram_length=2 max_skip_count=1 ngram_counts=0,3 ngram_indexes=0,1,2,3,4,5 pool_int64s=2,3,5,5,6,7,8,6,7 weights=1,2,0.5,1,3,1",
      "NonMaxSuppression",
      "MaxRoiPool pooled_shape=2,2",
      "DequantizeLinear axis=1 block_size=2",
      "ConvInteger",
      "QLinearConv",
      "HannWindow",
      "HammingWindow",
      "BlackmanWindow",
      "MelWeightMatrix",
      "Unique axis=0 sorted=0",
      "Range",
      "Div",
      "Loop 3",
      "Loop 9",
      "Loop 0",
      "SequenceConstruct SequenceInsert SequenceErase SequenceAt SequenceLength",
      "SequenceEmpty ConcatFromSequence",
      "SplitToSequence",
      "SequenceMap",
      "Optional OptionalHasElement OptionalGetElement",
    ]
  `);
}, 60_000);
