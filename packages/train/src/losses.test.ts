import { type ResidentTensor, tensor } from "@pare/core";
import { evaluate } from "@pare/ops/evaluate";
import { numbersOf } from "@pare/ops/numeric";
import { describe, expect, test } from "vitest";
import { checkGradients } from "./check.ts";
import {
  cosineDistance,
  crossEntropy,
  divergence,
  type Loss,
  meanAbsoluteError,
  meanSquaredError,
  weightedSum,
} from "./losses.ts";
import { cosineRate, stepRate, warmUp } from "./schedules.ts";

const wave = (shape: readonly number[], seed: number): ResidentTensor =>
  tensor(
    "float32",
    shape,
    Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => 2 * Math.sin(1 + 2.3 * i + seed)),
  );
const rows = (t: ResidentTensor, size: number) => {
  const all = [...numbersOf(t)];
  return Array.from({ length: all.length / size }, (_, i) => all.slice(i * size, (i + 1) * size));
};
const logSoftmax = (row: readonly number[]) => {
  const log = Math.log(row.reduce((s, v) => s + Math.exp(v), 0));
  return row.map((v) => v - log);
};
const mean = (values: readonly number[]) => values.reduce((s, v) => s + v, 0) / values.length;

const y = wave([4, 3], 1);
const t = wave([4, 3], 5);
const label = tensor("int64", [4], [2, 0, 1, 2]);
const classes = [2, 0, 1, 2];
const between = { output: "y", target: "t" };

/** The loss is `expected`, and its gradient is that of differences. */
async function check(loss: Loss, inputs: Record<string, ResidentTensor>, expected: number) {
  const result = await evaluate(loss, inputs);
  const name = loss.graph.outputs[0]!.name;
  expect(numbersOf(result[name]!)[0]).toBeCloseTo(expected, 5);
  expect((await checkGradients(loss, inputs, { loss: name, by: ["y"] })).worst).toBeLessThan(1e-5);
}

describe("losses", () => {
  const log = rows(y, 3).map(logSoftmax);

  test("cross-entropy", () =>
    check(crossEntropy({ output: "y", target: "label" }), { y, label }, mean(log.map((row, i) => -row[classes[i]!]!))));

  test("cross-entropy with smoothed labels", () =>
    check(
      crossEntropy({ output: "y", target: "label", labelSmoothing: 0.1 }),
      { y, label },
      mean(log.map((row, i) => -row.reduce((s, v, c) => s + v * ((c === classes[i] ? 0.9 : 0) + 0.1 / 3), 0))),
    ));

  test("cross-entropy with class weights is the weighted mean", () => {
    const w = [0.5, 2, 1];
    const total = classes.reduce((s, c) => s + w[c]!, 0);
    const sum = log.reduce((s, row, i) => s - w[classes[i]!]! * row[classes[i]!]!, 0);
    return check(crossEntropy({ output: "y", target: "label", classWeights: w }), { y, label }, sum / total);
  });

  test("cross-entropy of samples of which not all have labels is the mean over those that have", async () => {
    const some = tensor("int64", [4], [2, -1, -100, 2]);
    const labelled = [0, 3].map((i) => -log[i]![2]!);
    await check(crossEntropy({ output: "y", target: "label", partial: true }), { y, label: some }, mean(labelled));
    const smoothed = [0, 3].map((i) => -log[i]!.reduce((s, v, c) => s + v * ((c === 2 ? 0.9 : 0) + 0.1 / 3), 0));
    const weighted = crossEntropy({ output: "y", target: "label", partial: true, classWeights: [0.5, 2, 1] });
    await check(
      weighted,
      { y, label: tensor("int64", [4], [0, -1, 1, -1]) },
      (-0.5 * log[0]![0]! - 2 * log[2]![1]!) / 2.5,
    );
    const smooth = crossEntropy({ output: "y", target: "label", partial: true, labelSmoothing: 0.1 });
    await check(smooth, { y, label: some }, mean(smoothed));
    const none = tensor("int64", [4], [-1, -1, -1, -1]);
    const loss = crossEntropy({ output: "y", target: "label", partial: true });
    expect(numbersOf((await evaluate(loss, { y, label: none }))[loss.graph.outputs[0]!.name]!)[0]).toBeCloseTo(0, 9);
  });

  test("cross-entropy of maps, with weights and smoothing", () => {
    const maps = wave([2, 3, 2], 3);
    const labels = tensor("int64", [2, 2], [0, 2, 1, 1]);
    const w = [0.5, 2, 1];
    let [sum, total] = [0, 0];
    for (const n of [0, 1])
      for (const p of [0, 1]) {
        const values = logSoftmax([0, 1, 2].map((c) => numbersOf(maps)[n * 6 + c * 2 + p]!));
        const c = Number(numbersOf(labels)[n * 2 + p]);
        total += w[c]!;
        sum -= 0.8 * w[c]! * values[c]! + (0.2 / 3) * values.reduce((s, v, k) => s + w[k]! * v, 0);
      }
    const loss = crossEntropy({ output: "y", target: "label", classWeights: w, labelSmoothing: 0.2 });
    return check(loss, { y: maps, label: labels }, sum / total);
  });

  test("divergence with a temperature", () => {
    const T = 4;
    const cold = (x: ResidentTensor) => rows(x, 3).map((row) => logSoftmax(row.map((v) => v / T)));
    const [q, p] = [cold(y), cold(t)];
    const each = p.map((row, i) => row.reduce((s, v, c) => s + Math.exp(v) * (v - q[i]![c]!), 0));
    return check(divergence({ ...between, temperature: T }), { y, t }, T * T * mean(each));
  });

  test("squared, absolute and cosine distances", async () => {
    const d = [...numbersOf(y)].map((v, i) => v - numbersOf(t)[i]!);
    await check(meanSquaredError(between), { y, t }, mean(d.map((v) => v * v)));
    await check(meanAbsoluteError(between), { y, t }, mean(d.map(Math.abs)));
    const dot = (p: readonly number[], q: readonly number[]) => p.reduce((s, v, i) => s + v * q[i]!, 0);
    const cosines = rows(y, 3).map((p, i) => {
      const q = rows(t, 3)[i]!;
      return dot(p, q) / Math.sqrt(dot(p, p) * dot(q, q));
    });
    await check(cosineDistance(between), { y, t }, 1 - mean(cosines));
  });

  test("a sum takes inputs of one name once", async () => {
    const parts = [
      crossEntropy({ output: "y", target: "label" }),
      divergence(between),
      meanSquaredError(between),
    ] as const;
    const values = [];
    for (const p of parts) values.push(numbersOf((await evaluate(p, { y, t, label }))[p.graph.outputs[0]!.name]!)[0]!);
    const sum = weightedSum([
      [0.3, parts[0]],
      [0.5, parts[1]],
      [1, parts[2]],
    ]);
    expect(sum.graph.inputs.map((v) => v.name)).toEqual(["y", "label", "t"]);
    await check(sum, { y, t, label }, 0.3 * values[0]! + 0.5 * values[1]! + values[2]!);
  });

  test("refuse options that make no sense", () => {
    expect(() => crossEntropy({ output: "y", target: "t", labelSmoothing: 1 })).toThrow(/train\/options/);
    expect(() => divergence({ ...between, temperature: 0 })).toThrow(/train\/options/);
    expect(() => weightedSum([])).toThrow(/train\/options/);
  });
});

test("schedules", () => {
  const cosine = cosineRate({ rate: 1, steps: 10, end: 0.1 });
  expect([0, 5, 10, 20].map((s) => Number(cosine(s).toFixed(6)))).toEqual([1, 0.55, 0.1, 0.1]);
  expect([0, 2, 3, 7].map(stepRate({ rate: 1, at: [3, 6], factor: 0.5 }))).toEqual([1, 1, 0.5, 0.25]);
  const warm = warmUp({ steps: 4, after: cosine });
  expect([0, 1, 3, 4, 9].map((s) => Number(warm(s).toFixed(6)))).toEqual([0.25, 0.5, 1, 1, 0.55]);
});
