import { bytesOf, dataOf, type ResidentTensor, type Session, tensor } from "@pare/core";
import { expect, test } from "vitest";
import {
  decisionAgreement,
  framesOf,
  SAMPLE_RATE,
  sileroLegacy,
  sileroV5,
  speechProbabilities,
  synthesise,
  truthAgreement,
} from "./index.ts";

const signal = synthesise({ seed: 5, seconds: 10 });
const level = (from: number, to: number) => {
  const part = signal.samples.subarray(Math.round(from * SAMPLE_RATE), Math.round(to * SAMPLE_RATE));
  return Math.sqrt(part.reduce((sum, v) => sum + v * v, 0) / part.length);
};

test("a seed gives the same samples, in range, speech far above the pauses", () => {
  const again = synthesise({ seed: 5, seconds: 10 });
  expect(Buffer.compare(bytesOf(again.samples), bytesOf(signal.samples))).toBe(0);
  expect(again.speech).toEqual(signal.speech);
  expect(Buffer.compare(bytesOf(synthesise({ seed: 6, seconds: 10 }).samples), bytesOf(signal.samples))).not.toBe(0);
  expect(signal.samples.length).toBe(10 * SAMPLE_RATE);
  expect(signal.samples.every((v) => Math.abs(v) <= 1)).toBe(true);
  expect(signal.speech.length).toBeGreaterThanOrEqual(3);
  let before = 0;
  for (const [from, to] of signal.speech) {
    expect(from - before).toBeGreaterThan(0.3);
    expect(level(from, to)).toBeGreaterThan(20 * level(before + 0.01, from - 0.01));
    before = to;
  }
});

test("speech is mostly periodic at the pitch of a voice, pauses are not", () => {
  /** Greatest normalised autocorrelation of 40 ms at periods of 80 to 250 Hz. */
  const periodicity = (from: number) => {
    const start = Math.round(from * SAMPLE_RATE);
    const [a, length] = [signal.samples, 640];
    let best = 0;
    for (let lag = 64; lag <= 200; lag++) {
      let [product, here, there] = [0, 0, 0];
      for (let i = start; i < start + length; i++) {
        product += a[i]! * a[i + lag]!;
        here += a[i]! ** 2;
        there += a[i + lag]! ** 2;
      }
      best = Math.max(best, product / Math.sqrt(here * there));
    }
    return best;
  };
  const windows = (from: number, to: number) =>
    Array.from({ length: Math.floor((to - from) / 0.06) - 1 }, (_, i) => periodicity(from + i * 0.06));
  const spoken = signal.speech.flatMap(([from, to]) => windows(from, to));
  const quiet = windows(0, signal.speech[0]![0] - 0.02);
  expect(spoken.filter((p) => p > 0.5).length / spoken.length).toBeGreaterThan(0.6);
  expect(Math.max(...quiet)).toBeLessThan(0.35);
});

test("frames carry the end of the frame before where the network wants it", () => {
  const input = (i: number) => dataOf(framesOf(signal, sileroV5)[i]!["input"] as ResidentTensor<"float32">);
  expect(framesOf(signal, sileroV5)).toHaveLength(Math.floor(signal.samples.length / 512));
  expect(input(0).length).toBe(576);
  expect(
    input(0)
      .subarray(0, 64)
      .every((v) => v === 0),
  ).toBe(true);
  expect(input(1)).toEqual(signal.samples.slice(512 - 64, 1024));
  const legacy = framesOf(signal, sileroLegacy)[2]!;
  expect(legacy["input"]!.shape).toEqual([1, 1536]);
  expect(dataOf(legacy["sr"] as ResidentTensor<"int64">)[0]).toBe(16000n);
});

test("probabilities come in the order of the frames, and the signal reaches the session", async () => {
  let count = 0;
  const session: Session = {
    inputs: [],
    outputs: [],
    run: async (_, options) => {
      options?.signal?.throwIfAborted();
      return { output: tensor("float32", [1, 1], [++count / 1000]) };
    },
    close: async () => {},
  };
  const probabilities = await speechProbabilities(session, signal, sileroLegacy);
  expect(probabilities.length).toBe(104);
  expect(probabilities[103]).toBeCloseTo(0.104, 6);
  const stop = AbortSignal.abort(new Error("enough"));
  await expect(speechProbabilities(session, signal, sileroLegacy, stop)).rejects.toThrow("enough");
});

test("agreement counts decisions, not probabilities", () => {
  expect(decisionAgreement([0.9, 0.6, 0.1, 0.4], [0.6, 0.9, 0.3, 0.7])).toBe(0.75);
  expect(decisionAgreement([], [])).toBe(1);
  const made = { samples: new Float32Array(512 * 5), speech: [[0.064, 0.128]] as const };
  expect(truthAgreement([0, 0, 1, 1, 0], made, sileroV5)).toBe(1);
  expect(truthAgreement([0, 1, 1, 1, 0], made, sileroV5)).toBe(0.8);
});
