import { dataOf, isPareError, type Model, PareError, type ResidentTensor, run, samplesFrom, tensor } from "@pare/core";
import { parse } from "@pare/core/parse";
import { memoryStore } from "@pare/io";
import { build, dense, relu, sequential } from "@pare/nn";
import { seeded } from "@pare/ops/numeric";
import { ort } from "@pare/runtime-ort";
import { parametersOf } from "@pare/train";
import { describe, expect, test } from "vitest";
import { distill, distillFrom } from "./pass.ts";
import { student } from "./student/student.ts";

const runtime = ort({ isolate: false });
const random = seeded(3);
const f32 = (shape: readonly number[], make: (i: number) => number) =>
  tensor(
    "float32",
    shape,
    Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => make(i)),
  );
const points = Array.from({ length: 160 }, () => f32([1, 4], () => 2 * random() - 1));
const samples = samplesFrom(points.map((x) => ({ x })));
const teacher = build(sequential(dense(24), relu(), dense(24), relu(), dense(3)), {
  input: [4],
  inputName: "x",
  seed: 2,
});
const count = (m: Model) => parametersOf(m).reduce((n, w) => n + w.tensor.shape.reduce((a, b) => a * b, 1), 0);

async function answers(m: Model): Promise<number[]> {
  const session = await runtime.prepare(m);
  const rows: number[] = [];
  for (const x of points) rows.push(...dataOf(Object.values(await session.run({ x }))[0] as ResidentTensor<"float32">));
  await session.close();
  return rows;
}
/** Share of samples of which both find the same class. */
async function agreement(a: Model, b: Model): Promise<number> {
  const [p, q] = [await answers(a), await answers(b)];
  const best = (v: readonly number[], n: number) => {
    const row = v.slice(3 * n, 3 * n + 3);
    return row.indexOf(Math.max(...row));
  };
  return points.filter((_, n) => best(p, n) === best(q, n)).length / points.length;
}
/** Training takes away more than half of the disagreement. */
async function expectCloser(after: Model, before: Model, whole: Model): Promise<void> {
  expect(1 - (await agreement(after, whole))).toBeLessThan((1 - (await agreement(before, whole))) / 2);
}
const codesOf = async (made: Promise<unknown>) =>
  made.then(
    () => [],
    (e: unknown) => (isPareError(e) ? e.diagnostics.map((d) => d.code) : [String(e)]),
  );
const bytes = (m: Model) => [...m.graph.weights].map(([name, t]) => `${name} ${(t as ResidentTensor).bytes}`);

describe("distill", () => {
  const options = { width: 0.5, epochs: 20, batchSize: 16, rate: 0.01 };

  test("makes the model smaller, and like what it was", async () => {
    const seen: number[] = [];
    const { model, report } = await run(distill(options), teacher, {
      runtime,
      samples,
      onProgress: ({ done, total }) => (expect(total).toBe(200), seen.push(done)),
    });
    expect(count(model)).toBeLessThan(0.45 * count(teacher));
    await expectCloser(model, await student(teacher, { width: 0.5 }), teacher);
    expect(seen).toHaveLength(200);
    expect(report.passes[0]!.done.map((d) => d.name)).toEqual([...model.graph.weights.keys()]);
    expect(`${report}`).toContain("output of the model");
  });

  test("needs labels where they count, and only there", async () => {
    expect(distill({ width: 0.5 }).needs).toEqual(["runtime", "samples"]);
    const withLabels = distill({ ...options, alpha: 0.5 });
    expect(withLabels.needs).toContain("labels");
    expect(await codesOf(run(withLabels, teacher, { runtime, samples }))).toEqual(["core/needs"]);
    // Labels that say class 2 of everything pull the student there.
    const all = samplesFrom(points.map(() => ({ y: tensor("uint8", [1], [2]) })));
    const { model } = await run(distill({ ...options, alpha: 0.01 }), teacher, { runtime, samples, labels: all });
    const rows = await answers(model);
    const second = points.filter((_, n) => rows[3 * n + 2]! > Math.max(rows[3 * n]!, rows[3 * n + 1]!)).length;
    expect(second / points.length).toBeGreaterThan(0.95);
    const few = samplesFrom([{ y: tensor("uint8", [1], [2]) }]);
    expect(await codesOf(run(withLabels, teacher, { runtime, samples, labels: few }))).toEqual(["distill/labels"]);
  });

  test("learns the logits before a softmax", async () => {
    const probabilities = parse(
      `main (x: float32[N,4]) => (p: float32[N,3]) {
        a: float32[4,8] = …  b: float32[8,3] = …  h = MatMul(x, a)  r = Relu(h)  l = MatMul(r, b)  p = Softmax(l)
      }`,
      { weights: { a: f32([4, 8], (i) => Math.sin(2 * i)), b: f32([8, 3], (i) => Math.cos(3 * i)) } },
    );
    const { model } = await run(distill(options), probabilities, { runtime, samples });
    await expectCloser(model, await student(probabilities, { width: 0.5 }), probabilities);
  });

  test("goes on from a store as if it had not been stopped", async () => {
    const whole = await run(distill(options), teacher, { runtime, samples });
    const store = memoryStore();
    const stop = new AbortController();
    const stopped = run(distill(options), teacher, {
      runtime,
      samples,
      store,
      signal: stop.signal,
      onProgress: ({ done }) => done === 134 && stop.abort(new Error("stopped")),
    });
    await expect(stopped).rejects.toThrow("stopped");
    const seen: number[] = [];
    const { model } = await run(distill(options), teacher, {
      runtime,
      samples,
      store,
      onProgress: ({ done }) => seen.push(done),
    });
    // From the last epoch that was whole.
    expect(seen[0]).toBe(131);
    expect(bytes(model)).toEqual(bytes(whole.model));
  });

  test("refuses what it cannot do", async () => {
    const host = { runtime, samples };
    expect(await codesOf(run(distill(), teacher, host))).toEqual(["distill/options"]);
    expect(() => distill({ wdith: 1 } as never)).toThrow(PareError);
    expect(await codesOf(run(distill({ ...options, output: "none" }), teacher, host))).toEqual(["distill/options"]);
  });
});

describe("distillFrom", () => {
  test.each(["outputs", "blocks"] as const)("brings back what rounding took, by %s", async (by) => {
    const rounded: Model = {
      ...teacher,
      graph: {
        ...teacher.graph,
        weights: new Map(
          [...teacher.graph.weights].map(([name, t]) => [
            name,
            f32(t.shape, (i) => Math.round(2 * dataOf(t as ResidentTensor<"float32">)[i]!) / 2),
          ]),
        ),
      },
    };
    const pass = distillFrom(teacher)({ by, epochs: 20, batchSize: 16, rate: 0.005 });
    const { model, report } = await run(pass, rounded, { runtime, samples });
    await expectCloser(model, rounded, teacher);
    expect(report.passes[0]!.pass).toBe("distill");
  });
});
