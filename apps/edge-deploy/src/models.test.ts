import { dataOf, type ResidentTensor, type Session, storageView, tensor, type Values } from "@pare/core";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { expect, test } from "vitest";
import { models } from "./models.ts";
import {
  characterErrorRate,
  detectionInput,
  dictionary,
  isUpsideDown,
  mapAgreement,
  orientationInput,
  readLine,
  renderLines,
  stack,
  textBoxes,
  upsideDown,
} from "./ocr/index.ts";
import {
  type Detector,
  sileroLegacy,
  sileroV5,
  speechProbabilities,
  synthesise,
  truthAgreement,
} from "./voice/index.ts";

/** ONNX Runtime itself, so that what is tested here are the inputs alone. */
async function engine(file: string, detector?: Detector): Promise<Session> {
  const session = await InferenceSession.create(file);
  let state: Values = detector?.initialState ?? {};
  return {
    inputs: [],
    outputs: [],
    async run(inputs) {
      const feeds = Object.entries({ ...inputs, ...state }).map(([name, t]) => {
        const data = storageView(t.dtype, t.bytes);
        return [
          name,
          data instanceof BigInt64Array
            ? new Tensor("int64", data, t.shape)
            : new Tensor("float32", data as Float32Array, t.shape),
        ] as const;
      });
      const fetched = await session.run(Object.fromEntries(feeds));
      const outputs = Object.fromEntries(
        Object.entries(fetched).map(([name, t]) => [name, tensor("float32", t.dims, t.data as Float32Array)]),
      );
      state = Object.fromEntries(Object.entries(detector?.state ?? {}).map(([from, to]) => [to, outputs[from]!]));
      return outputs;
    },
    close: () => session.release(),
  };
}

const lines = renderLines({ seed: 1, count: 8 });
const only = (values: Values): ResidentTensor => Object.values(values)[0]!;

test("the real network reads rendered lines", async () => {
  const session = await engine(models.recognition());
  const characters = dictionary();
  const read: string[] = [];
  for (const l of lines) read.push(await readLine(session.run, l.image, characters));
  expect(lines.filter((l, i) => l.text === read[i]).length).toBeGreaterThanOrEqual(5);
  const errors = lines.map((l, i) => characterErrorRate(l.text, read[i]!));
  expect(errors.reduce((a, b) => a + b) / errors.length).toBeLessThan(0.06);
  await session.close();
});

test("the real network finds every line of a page, and tells which way up it is", async () => {
  const detection = await engine(models.detection());
  const page = stack(
    lines.map((l) => l.image),
    900,
    30,
  );
  const map = only(await detection.run({ x: detectionInput(page) }));
  expect(mapAgreement(map, map)).toBe(1);
  const boxes = textBoxes(map, page);
  expect(boxes).toHaveLength(lines.length);
  let top = 30;
  for (const [i, { image }] of lines.entries()) {
    const middle = (boxes[i]!.top + boxes[i]!.bottom) / 2;
    expect(Math.abs(middle - (top + image.height / 2))).toBeLessThan(image.height / 4);
    top += image.height + 30;
  }
  await detection.close();

  const orientation = await engine(models.orientation());
  let right = 0;
  for (const { image } of lines) {
    if (!isUpsideDown(only(await orientation.run({ x: orientationInput(image) })))) right++;
    if (isUpsideDown(only(await orientation.run({ x: orientationInput(upsideDown(image)) })))) right++;
  }
  expect(right).toBeGreaterThanOrEqual(15);
  await orientation.close();
});

test.each([
  ["version 5", models.voice, sileroV5],
  ["legacy", models.voiceLegacy, sileroLegacy],
] as const)("the real detector (%s) tells synthesised speech from pauses", async (_, file, detector) => {
  const signal = synthesise({ seed: 2, seconds: 8 });
  const session = await engine(file(), detector);
  const probabilities = await speechProbabilities(session, signal, detector);
  expect(truthAgreement(probabilities, signal, detector)).toBeGreaterThan(0.93);
  const frames = probabilities.map((p, i) => ({ p, at: ((i + 0.5) * detector.frame) / 16000 }));
  const mean = (of: typeof frames) => of.reduce((sum, f) => sum + f.p, 0) / of.length;
  const spoken = (at: number) => signal.speech.some(([from, to]) => at > from + 0.2 && at < to - 0.1);
  const quiet = (at: number) => signal.speech.every(([from, to]) => at < from - 0.1 || at > to + 0.3);
  expect(mean(frames.filter((f) => spoken(f.at)))).toBeGreaterThan(0.8);
  expect(mean(frames.filter((f) => quiet(f.at)))).toBeLessThan(0.2);
  expect(
    dataOf(detector.initialState[Object.values(detector.state)[0]!] as ResidentTensor<"float32">).every((v) => v === 0),
  ).toBe(true);
  await session.close();
});
