import { isPareError, type Model, type ResidentTensor, tensor, type ValueInfo, type Values } from "@pare/core";
import { print } from "@pare/core/print";
import { evaluate } from "@pare/ops/evaluate";
import { numbersOf } from "@pare/ops/numeric";
import { lowerToTflite, type TfliteLowering, toCore } from "@pare/tflite";
import fc from "fast-check";
import { expect, test } from "vitest";
import { litert } from "./index.node.ts";
import { layoutModel } from "./test/layouts.ts";

const shapeOf = ({ type }: ValueInfo) => (type?.kind === "tensor" ? (type.shape ?? []) : []);

const wave = (v: ValueInfo, seed: number, batch: number): ResidentTensor => {
  const shape = shapeOf(v).map((d) => (typeof d === "number" ? d : batch));
  const count = shape.reduce((n, d) => n * d, 1);
  return tensor(
    "float32",
    shape,
    Float32Array.from({ length: count }, (_, i) => Math.sin(i * 0.7 + seed)),
  );
};

/** A value of four and more dimensions with its channels last. */
function channelsLast(t: ResidentTensor): ResidentTensor {
  const [n, c, ...rest] = t.shape as [number, number, ...number[]];
  if (t.shape.length < 4 || t.shape.length > 5) return t;
  const [places, from] = [rest.reduce((a, d) => a * d, 1), numbersOf(t)];
  const to = new Float32Array(from.length);
  for (let i = 0; i < n; i++)
    for (let k = 0; k < c; k++)
      for (let p = 0; p < places; p++) to[(i * places + p) * c + k] = Number(from[(i * c + k) * places + p]);
  return tensor("float32", [n, ...rest, c], to);
}

const turned = (values: Values): Values =>
  Object.fromEntries(Object.entries(values).map(([name, t]) => [name, channelsLast(t)]));

/** What makes answers differ; undefined where nothing does. */
function difference(got: Values, expected: Values): string | undefined {
  for (const [name, t] of Object.entries(expected)) {
    const other = got[name]!;
    if (`${other.shape}` !== `${t.shape}`) return `${name}: [${other.shape}], not [${t.shape}]`;
    const [a, b] = [numbersOf(other), numbersOf(t)];
    const scale = Math.max(1, ...b.map((v) => Math.abs(Number(v))));
    for (const [i, v] of b.entries())
      if (!(Math.abs(Number(a[i]) - Number(v)) <= 1e-4 * scale)) return `${name}[${i}]: ${a[i]}, not ${v}`;
  }
  return undefined;
}

/** Fails where LiteRT computes another answer than the evaluator. */
async function agrees(m: Model, nhwc: boolean, inputs: Values, lowered = lowerToTflite(m, { nhwc })): Promise<void> {
  try {
    const expected = await evaluate(m, inputs);
    const session = await litert({ isolate: false }).prepare(toCore(lowered.model));
    const got = await session.run(nhwc ? turned(inputs) : inputs).finally(() => session.close());
    const other = difference(got, nhwc ? turned(expected) : expected);
    if (other) throw new Error(other);
  } catch (cause) {
    throw new Error(`${cause}${nhwc ? " (nhwc)" : ""}\n${print(m)}`);
  }
}

const tapes = fc.array(fc.nat(9999), { minLength: 30, maxLength: 120 });
const wavesFor = (m: Model, batch = 1) => Object.fromEntries(m.graph.inputs.map((v, i) => [v.name, wave(v, i, batch)]));

test("models are computed as they were, in either order of dimensions", async () => {
  const holds = async (m: Model) => {
    for (const nhwc of [false, true]) await agrees(m, nhwc, wavesFor(m));
  };
  await fc.assert(
    fc.asyncProperty(
      tapes.map((tape) => layoutModel(tape)),
      holds,
    ),
    { numRuns: 120 },
  );
}, 120_000);

test("models with an open batch are computed for any, or it is said why not", async () => {
  let refused = 0;
  const holds = async (m: Model) => {
    for (const nhwc of [false, true]) {
      let lowered: TfliteLowering;
      try {
        lowered = lowerToTflite(m, { nhwc });
      } catch (error) {
        if (!isPareError(error) || error.code !== "tflite/open-batch") throw error;
        refused++;
        continue;
      }
      for (const batch of [1, 3]) await agrees(m, nhwc, wavesFor(m, batch), lowered);
    }
  };
  const numRuns = 80;
  await fc.assert(
    fc.asyncProperty(
      tapes.map((tape) => layoutModel(tape, true)),
      holds,
    ),
    { numRuns },
  );
  expect(refused).toBeLessThan(numRuns / 10);
}, 120_000);
