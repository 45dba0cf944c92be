import {
  IR_OPSET,
  isFloat,
  isPareError,
  type Model,
  model,
  type ResidentTensor,
  tensor,
  type Values,
  viewOf,
} from "@pare/core";
import { parse } from "@pare/core/parse";
import { memorySink } from "@pare/io";
import { type caseOf, operatorCases } from "@pare/ops/cases";
import { evaluate } from "@pare/ops/evaluate";
import { lowerings } from "@pare/ops/lower";
import { numbersOf } from "@pare/ops/numeric";
import { schemaOf } from "@pare/ops/schema";
import * as ort from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { downgrade } from "./downgrade.ts";
import { openOnnx, writeOnnx } from "./open.ts";
import { cases, ramp } from "./test/downgrade-cases.ts";
import { upgrade } from "./upgrade.ts";

const targets = [13, 14, 15, 16, 17, 18, 20, 21, 22, 23, 25, 26];

function expectClose(got: Values, expected: Values, tolerance = 1e-4) {
  expect(Object.keys(got)).toEqual(Object.keys(expected));
  for (const [name, want] of Object.entries(expected)) {
    const found = got[name]!;
    expect([name, found.dtype, found.shape]).toEqual([name, want.dtype, want.shape]);
    if (!isFloat(want.dtype)) expect(Buffer.compare(found.bytes, want.bytes), name).toBe(0);
    else
      numbersOf(found).forEach((v, i) => {
        const w = numbersOf(want)[i]!;
        if (!Object.is(v, w) && !(Math.abs(v - w) <= 1e-6 + tolerance * Math.abs(w)))
          expect(v, `${name}[${i}]`).toBe(w);
      });
  }
}

/** Whether the model can be said at the opset; if so, it gives the same. */
async function same(m: Model, inputs: Values, expected: Values, opset: number): Promise<boolean> {
  let low: Model;
  try {
    low = downgrade(m, opset);
  } catch (error) {
    if (!isPareError(error)) throw error;
    expect([...new Set(error.diagnostics.map((d) => d.code))]).toEqual(["onnx/opset-too-low"]);
    return false;
  }
  expect(low.opsets.get("")).toBe(opset);
  for (const { graph } of viewOf(low).graphs)
    for (const n of graph.nodes)
      if (n.domain === "") expect(schemaOf(n.op, opset)?.deprecated, `${n.op} at ${opset}`).toBe(false);
  expectClose(await evaluate(upgrade(low), inputs), expected);
  return true;
}

/** A model of a case, whose integers after the first input are known or not. */
function modelOf({ node, inputs, outputs }: ReturnType<typeof caseOf>, known: boolean): { m: Model; given: Values } {
  const named = inputs.flatMap((t, i) =>
    t ? [{ name: `x${i}`, t, constant: known && i > 0 && t.dtype === "int64" }] : [],
  );
  const info = (name: string, t: ResidentTensor) => ({
    name,
    type: { kind: "tensor" as const, dtype: t.dtype, shape: t.shape },
  });
  const m = model({
    name: "case",
    inputs: named.filter((v) => !v.constant).map((v) => info(v.name, v.t)),
    outputs: outputs.map((t, i) => info(`y${i}`, t)),
    weights: new Map(named.filter((v) => v.constant).map((v) => [v.name, v.t])),
    nodes: [node],
    sparseWeights: new Map(),
    types: new Map(),
  });
  return { m, given: Object.fromEntries(named.filter((v) => !v.constant).map((v) => [v.name, v.t])) };
}

test("every operator case that an older opset can say gives the same there", async () => {
  for (const c of operatorCases)
    for (const known of [true, false]) {
      const { m, given } = modelOf(c, known);
      const expected = await evaluate(m, given);
      for (const opset of targets) await same(m, given, expected, opset);
    }
}, 60_000);

describe("what older opsets have words for gives the same in the evaluator and in ONNX Runtime", () => {
  for (const [what, lowest, header, body, inputs] of cases)
    test(`${what} (${lowest})`, async () => {
      const m = parse(`<"": ${IR_OPSET}>\nmain ${header} {\n${body}\n}`);
      const expected = await evaluate(m, inputs);
      for (const opset of targets)
        expect([opset, await same(m, inputs, expected, opset)]).toEqual([opset, opset >= lowest]);
      const low = targets.find((t) => t >= lowest)!;
      // It computes float16 in float32.
      expectClose(await runInOrt(m, inputs, low, expected), expected, 1e-3);
    });
});

/** What ONNX Runtime gives, at the lowest opset. */
async function runInOrt(m: Model, inputs: Values, opset: number, like: Values): Promise<Values> {
  const sink = memorySink();
  await writeOnnx(m, sink, { opset });
  const session = await ort.InferenceSession.create(sink.files.get("model.onnx")!, { logSeverityLevel: 4 });
  const feeds = Object.entries(inputs).map(([name, t]) => {
    const data = t.dtype === "float32" ? new Float32Array(t.bytes.slice().buffer) : dataFor(t);
    return [name, new ort.Tensor(t.dtype as "float32", data as Float32Array, t.shape)] as const;
  });
  const out = await session.run(Object.fromEntries(feeds));
  await session.release();
  return Object.fromEntries(
    Object.keys(like).map((name) => {
      const t = out[name]!;
      const { buffer, byteOffset, byteLength } = t.data as Float32Array<ArrayBuffer>;
      return [name, tensor(t.type as "float32", t.dims, new Uint8Array(buffer, byteOffset, byteLength))];
    }),
  );
}

const arrays = { int64: BigInt64Array, int32: Int32Array, int8: Int8Array, bool: Uint8Array } as const;
const dataFor = (t: ResidentTensor) => new arrays[t.dtype as keyof typeof arrays](t.bytes.slice().buffer);

test("every entry of the table is reached", () => {
  const said = [...operatorCases.map((c) => c.node.op), ...cases.map((c) => c[3])].join(" ");
  for (const op of lowerings.keys()) if (op !== "Bernoulli") expect(said).toMatch(new RegExp(`\\b${op}\\b`));
});

test("a draw of Bernoulli has the type and shape that it had", () => {
  const m = parse(`<"": 27>\nmain (x: float32[3]) => (y: bool) {\ny = Bernoulli<dtype=9, seed=1.0>(x)\n}`);
  expect(downgrade(m, 14).graph.nodes.map((n) => n.op)).toEqual(["RandomUniformLike", "Less", "Identity"]);
});

test("all that an opset has no words for is said at once, with place, reason and hint", () => {
  const m = parse(`<"": 27>
main (x: float32[2,2], c: bool[]) => (y: float32, s: string) {
  t: string[1] = {"a"}
  s = StringConcat(t, t)
  y = If<then_branch=t () => (p: float32) {
    f = Cast<to=17>(x)
    p = Cast<to=1>(f)
  }, else_branch=e () => (q: float32) {
    q = Relu(x)
  }>(c)
}`);
  let error: unknown;
  try {
    downgrade(m, 17);
  } catch (e) {
    error = e;
  }
  expect(isPareError(error) && error.diagnostics.map((d) => [d.code, d.location?.node, d.location?.op])).toEqual([
    ["onnx/opset-too-low", "s", "StringConcat"],
    ["onnx/opset-too-low", "f", "Cast"],
    ["onnx/opset-too-low", "p", "Cast"],
  ]);
  expect(String(error)).toContain("Write opset 20 or a newer one.");
  expect(() => downgrade(m, 6)).toThrow("onnx/opset");
});

test("functions of the model and other domains come along", async () => {
  const body = parse(`<"": 27>\nmain (a: float32) => (b: float32) {\nb = Gelu(a)\n}`).graph;
  const main = parse(`<"": 27, "acme": 1>\nmain (x: float32[3]) => (y: float32) {\ny = acme.F(x)\n}`);
  const f = { domain: "acme", name: "F", overload: "", attributes: [], defaults: new Map() };
  const m = { ...main, functions: [{ ...f, opsets: new Map([["", 27]]), body }] };
  const low = downgrade(m, 17);
  expect([low.opsets.get("acme"), low.functions[0]!.opsets.get("")]).toEqual([1, 17]);
  expect(low.functions[0]!.body.nodes.map((n) => n.op)).toContain("Erf");
  expect(low.functions[0]!.body.weights.size).toBe(0);
  const inputs = { x: ramp([3]) };
  expectClose(await evaluate(upgrade(low), inputs), await evaluate(m, inputs));
});

test("constants that are alike are one", () => {
  const m = parse(`<"": 27>\nmain (x: float32[3]) => (y: float32) {\na = Gelu(x)\nb = Gelu(a)\ny = Gelu(b)\n}`);
  expect(downgrade(m, 17).graph.weights.size).toBe(3);
});

test("weights are the same objects, and the file says opset and IR version that go together", async () => {
  const m = parse(
    `<"": 27>\nmain (x: float32[3,4]) => (y: float32) {\nw: float32[4,2] = random(1)\na = MatMul(x, w)\ny = Gelu(a)\n}`,
  );
  expect(downgrade(m, 17).graph.weights.get("w")).toBe(m.graph.weights.get("w"));
  const sink = memorySink();
  await writeOnnx(m, sink, { opset: 17 });
  const back = await openOnnx(sink.files.get("model.onnx")!, { upgrade: false });
  expect([back.opset, back.irVersion]).toEqual([17, 8]);
});
