import { dataOf, isPareError, type Model, type ResidentTensor, type Store, tensor, type Values } from "@pare/core";
import { parse } from "@pare/core/parse";
import { memoryStore } from "@pare/io";
import { batchNorm, build, conv2d, dense, globalAveragePool, relu, sequential } from "@pare/nn";
import { evaluate } from "@pare/ops/evaluate";
import { numbersOf, seeded } from "@pare/ops/numeric";
import { ort } from "@pare/runtime-ort";
import { adam, batched, crossEntropy, isDiverged, sgd, train } from "@pare/train";
import { describe, expect, test } from "vitest";
import { blockEnds, trainBlocks } from "./blocks.ts";
import { attentionTransfer, distillationLoss, teacherValue } from "./losses.ts";
import { softLabels } from "./soft-labels.ts";
import type { AnswerFunction, Teachers } from "./teacher.ts";
import { trainStudent } from "./train-student.ts";

const runtime = ort({ isolate: false });
const random = seeded(7);
const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
const f32 = (shape: readonly number[], make: (i: number) => number) =>
  tensor(
    "float32",
    shape,
    Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => make(i)),
  );
const numbers = (t: ResidentTensor | undefined) => [...dataOf(t as ResidentTensor<"float32">)];
const bytes = (m: Model) => [...m.graph.weights].map(([name, t]) => `${name} ${(t as ResidentTensor).bytes}`);
const codeOf = async (made: Promise<unknown>) => {
  const error = await made.then(
    () => undefined,
    (e: unknown) => e,
  );
  return isPareError(error) ? error.code : error;
};

/** A store that says how often something was put there. */
function countingStore(): Store & { readonly puts: () => number } {
  const { get, put } = memoryStore();
  let puts = 0;
  return { get, put: (...entry) => (puts++, put(...entry)), puts: () => puts };
}

describe("distillationLoss", () => {
  const [y, t] = [f32([3, 4], (i) => 2 * Math.sin(i)), f32([3, 4], (i) => 3 * Math.cos(2 * i))];
  const classes = [2, -1, 0];
  const label = tensor("int64", [3], classes);
  const softmax = (row: readonly number[], by: number) => {
    const e = row.map((v) => Math.exp(v / by));
    const sum = e.reduce((a, b) => a + b, 0);
    return e.map((v) => v / sum);
  };
  const rows = (v: ResidentTensor) => [0, 1, 2].map((n) => numbers(v).slice(4 * n, 4 * n + 4));

  test.each([
    [0.7, 4],
    [0.3, 1],
    [1, 2],
    [0, 4],
  ])("with alpha %f and temperature %f is Hinton's formula", async (alpha, temperature) => {
    const labelled = [0, 2];
    const ce = labelled.reduce((s, n) => s - Math.log(softmax(rows(y)[n]!, 1)[classes[n]!]!), 0) / labelled.length;
    const kl =
      rows(t)
        .flatMap((row, n) => {
          const [p, q] = [softmax(row, temperature), softmax(rows(y)[n]!, temperature)];
          return p.map((v, c) => v * Math.log(v / q[c]!));
        })
        .reduce((a, b) => a + b, 0) / 3;
    const loss = distillationLoss({ output: "y", label: "label", alpha, temperature });
    const given = { y, label, [teacherValue("y")]: t };
    const inputs = Object.fromEntries(loss.graph.inputs.map((v) => [v.name, given[v.name]!]));
    const result = await evaluate(loss, inputs);
    const expected = (1 - alpha) * ce + alpha * temperature ** 2 * kl;
    expect(numbersOf(result[loss.graph.outputs[0]!.name]!)[0]).toBeCloseTo(expected, 5);
  });

  test("needs no labels where only the teacher counts, and refuses what makes no sense", () => {
    expect(distillationLoss().graph.inputs.map((v) => v.name)).toEqual(["logits", "teacher/logits"]);
    expect(() => distillationLoss({ alpha: 0.5 })).toThrow("labels");
    expect(() => distillationLoss({ alpha: 2 })).toThrow("alpha");
    expect(() => distillationLoss({ temperature: 0 })).toThrow("temperature");
  });

  test("attention transfer compares normalized maps of values of other numbers of channels", async () => {
    const [a, b] = [f32([2, 3, 2, 2], (i) => Math.sin(i)), f32([2, 5, 2, 2], (i) => Math.cos(1.3 * i))];
    const map = (v: ResidentTensor, n: number) => {
      const channels = v.shape[1]!;
      const energy = [0, 1, 2, 3].map((p) => {
        let sum = 0;
        for (let c = 0; c < channels; c++) sum += numbers(v)[(n * channels + c) * 4 + p]! ** 2;
        return sum / channels;
      });
      const length = Math.hypot(...energy);
      return energy.map((e) => e / length);
    };
    const squares = [0, 1].flatMap((n) => map(a, n).map((v, p) => (v - map(b, n)[p]!) ** 2));
    const loss = attentionTransfer({ student: "s", teacher: "t" });
    const result = await evaluate(loss, { s: a, "teacher/t": b });
    const expected = squares.reduce((x, v) => x + v, 0) / squares.length;
    expect(numbersOf(result[loss.graph.outputs[0]!.name]!)[0]).toBeCloseTo(expected, 6);
  });
});

/** Four classes of points on two spirals, which a line does not part. */
const count = 600;
const place = Array.from({ length: count }, (_, i) => ({ c: i % 3, r: 0.3 + 0.7 * random() }));
const point = f32([count, 2], (i) => {
  const { c, r } = place[i >> 1]!;
  const angle = (2 * Math.PI * c) / 3 + 3 * r;
  return r * (i % 2 === 0 ? Math.cos(angle) : Math.sin(angle)) + 0.04 * normal();
});
const classes = place.map((p) => p.c);
const label = tensor("int64", [count], classes);
/** Labels for a few samples only. */
const few = tensor(
  "int64",
  [count],
  classes.map((c, i) => (i < 12 ? c : -1)),
);

const mlp = (hidden: number, seed: number) =>
  build(sequential(dense(hidden), relu(), dense(hidden), relu(), dense(3)), { input: [2], inputName: "point", seed });

async function accuracy(m: Model): Promise<number> {
  const session = await runtime.prepare(m);
  const { logits } = await session.run({ point });
  await session.close();
  const values = numbers(logits);
  let right = 0;
  for (let i = 0; i < count; i++) {
    const row = values.slice(3 * i, 3 * i + 3);
    if (row.indexOf(Math.max(...row)) === classes[i]) right++;
  }
  return right / count;
}

const common = { optimizer: adam(), rate: 0.02, runtime, threads: 1 };
const teacherModel = train(mlp(48, 1), {
  ...common,
  loss: crossEntropy({ output: "logits", target: "label" }),
  data: batched({ point, label }, { size: 60, shuffle: 1 }),
  epochs: 20,
}).then((t) => t.model);

const options = (teacher: Teachers, samples: Values = { point }) => ({
  ...common,
  teacher,
  data: batched(samples, { size: 60, shuffle: 2 }),
  epochs: 15,
});

describe("trainStudent", () => {
  test("learns from a teacher without labels what few labels do not say", async () => {
    const teacher = await teacherModel;
    expect(await accuracy(teacher)).toBeGreaterThan(0.97);
    const alone = await train(mlp(12, 5), {
      ...common,
      loss: crossEntropy({ output: "logits", target: "few", partial: true }),
      data: batched({ point, few }, { size: 60, shuffle: 2 }),
      epochs: 15,
    });
    const { model } = await trainStudent(mlp(12, 5), options(teacher));
    expect(await accuracy(model)).toBeGreaterThan(0.95);
    expect(await accuracy(model)).toBeGreaterThan((await accuracy(alone.model)) + 0.03);
    const loss = distillationLoss({ label: "few", alpha: 0.7 });
    const both = await trainStudent(mlp(12, 5), { ...options(teacher, { point, few }), loss });
    expect(await accuracy(both.model)).toBeGreaterThan(0.95);
  });

  test("stored answers give the same weights, bit for bit, and are asked for once", async () => {
    const teacher = await teacherModel;
    const loss = distillationLoss();
    const live = await trainStudent(mlp(12, 5), { ...options(teacher), loss, epochs: 3 });
    const store = countingStore();
    const soft = () => softLabels({ point }, { teacher, values: ["logits"], runtime, threads: 1, size: 60, store });
    const kept = await trainStudent(mlp(12, 5), {
      ...common,
      loss,
      epochs: 3,
      data: batched(await soft(), { size: 60, shuffle: 2 }),
    });
    expect(bytes(kept.model)).toEqual(bytes(live.model));
    expect(store.puts()).toBe(10);
    const again = await soft();
    expect(store.puts()).toBe(10);
    expect(numbers(again["teacher/logits"])).toEqual(numbers((await soft())["teacher/logits"]));
  });

  test("a run that was stopped while asking goes on where it was", async () => {
    const teacher = await teacherModel;
    const store = countingStore();
    const asked: number[] = [];
    const answer: AnswerFunction = async (inputs) => {
      if (asked.length === 4) throw new Error("gone");
      asked.push(inputs["point"]!.shape[0]!);
      const session = await runtime.prepare(teacher);
      const results = await session.run(inputs);
      await session.close();
      return results;
    };
    const soft = (t: Teachers) => softLabels({ point }, { teacher: t, values: ["logits"], runtime, size: 100, store });
    await expect(soft({ teacher: answer, key: "v1" })).rejects.toThrow("gone");
    expect(store.puts()).toBe(4);
    asked.length = 2;
    const whole = await soft({ teacher: answer, key: "v1" });
    // Two of the six were left.
    expect(asked).toHaveLength(4);
    const plain = await softLabels({ point }, { teacher, values: ["logits"], runtime, size: 100 });
    expect(numbers(whole["teacher/logits"])).toEqual(numbers(plain["teacher/logits"]));
    expect(await codeOf(soft(answer))).toBe("distill/teacher-key");
  });

  test("several teachers answer with the mean by their weights", async () => {
    const constant =
      (v: number): AnswerFunction =>
      ({ point: p }) => ({ logits: f32([p!.shape[0]!, 3], (i) => v + (i % 3)) });
    const ask = (teacher: Teachers) => softLabels({ point }, { teacher, values: ["logits"], runtime });
    const mean = numbers((await ask([constant(1), constant(4)]))["teacher/logits"]);
    expect(mean.slice(0, 3)).toEqual([2.5, 3.5, 4.5]);
    const weighted = await ask([{ teacher: constant(1), weight: 3 }, constant(5)]);
    expect(numbers(weighted["teacher/logits"]).slice(0, 3)).toEqual([2, 3, 4]);
    const other: AnswerFunction = ({ point: p }) => ({ logits: f32([p!.shape[0]!, 4], () => 0) });
    expect(await codeOf(ask([constant(1), other]))).toBe("distill/answer");
    expect(await codeOf(ask([]))).toBe("distill/options");
    expect(await codeOf(ask({ teacher: constant(1), weight: 0 }))).toBe("distill/options");
  });

  test("a teacher made for batches of one size is asked in pieces", async () => {
    const fixed = parse(
      `main (point: float32[20,2]) => (logits: float32[20,3]) { w: float32[2,3] = {1, 2, 3, 4, 5, 6}  logits = MatMul(point, w) }`,
    );
    const open = parse(
      `main (point: float32[N,2]) => (logits: float32[N,3]) { w: float32[2,3] = {1, 2, 3, 4, 5, 6}  logits = MatMul(point, w) }`,
    );
    const [a, b] = await Promise.all(
      [fixed, open].map((teacher) => softLabels({ point }, { teacher, values: ["logits"], runtime, size: 60 })),
    );
    expect(numbers(a!["teacher/logits"])).toEqual(numbers(b!["teacher/logits"]));
  });

  test("says what is missing", async () => {
    const teacher = await teacherModel;
    const { teacher: _, ...without } = options(teacher);
    expect(await codeOf(trainStudent(mlp(4, 1), without))).toBe("distill/no-teacher");
    const loss = distillationLoss({ teacher: "nothing" });
    expect(await codeOf(trainStudent(mlp(4, 1), { ...options(teacher), loss }))).toBe("distill/teacher-value");
    expect(
      await codeOf(
        trainStudent(
          mlp(4, 1),
          options(async () => ({})),
        ),
      ),
    ).toBe("distill/answer");
    const hints = [{ student: "nowhere", teacher: "logits" }];
    expect(await codeOf(trainStudent(mlp(4, 1), { ...options(teacher), hints }))).toBe("distill/hint");
    const stop = AbortSignal.abort(new Error("stopped"));
    await expect(trainStudent(mlp(4, 1), { ...options(teacher), signal: stop })).rejects.toThrow("stopped");
  });
});

/** Small images, whose class is where the bright spot is. */
const size = 80;
const spot = Array.from({ length: size }, (_, i) => i % 4);
const image = f32([size, 1, 8, 8], (i) => {
  const [n, y, x] = [Math.floor(i / 64), Math.floor((i % 64) / 8), i % 8];
  return ((y >> 2) * 2 + (x >> 2) === spot[n] ? 1 : 0) + 0.3 * normal();
});
const convNet = (filters: number, seed: number) =>
  build(
    sequential(
      ...[conv2d(filters, 3, { bias: false }), batchNorm(), relu()],
      ...[conv2d(filters, 3, { stride: 2, bias: false }), batchNorm(), relu()],
      ...[globalAveragePool(), dense(4)],
    ),
    { input: [1, 8, 8], inputName: "image", seed },
  );
const inner = "sequential/relu_2/Relu:out";

describe("inner values", () => {
  const teacher = convNet(12, 1);
  const data = batched({ image }, { size: 20, shuffle: 1 });
  const distance = async (m: Model) => {
    const [a, b] = await Promise.all([m, teacher].map((x) => runtime.prepare(x, { taps: [inner] })));
    const maps = await Promise.all([a!, b!].map((s) => s.run({ image }, { outputs: [inner] })));
    await Promise.all([a!.close(), b!.close()]);
    const loss = attentionTransfer({ student: inner });
    const result = await evaluate(loss, { [inner]: maps[0]![inner]!, [teacherValue(inner)]: maps[1]![inner]! });
    return Number(numbersOf(result[loss.graph.outputs[0]!.name]!)[0]);
  };

  test("hints are learned through projections, which are gone from the result", async () => {
    const source = convNet(5, 9);
    const losses: number[] = [];
    const { model } = await trainStudent(source, {
      ...common,
      teacher,
      data,
      epochs: 20,
      hints: [{ student: inner }],
      evaluate: async (m) => ({ outputs: m.graph.outputs.length }),
      onProgress: ({ loss }) => losses.push(loss),
    });
    const mean = (part: readonly number[]) => part.reduce((s, v) => s + v, 0) / part.length;
    expect(mean(losses.slice(-4))).toBeLessThan(mean(losses.slice(0, 4)) / 3);
    expect([...model.graph.weights.keys()]).toEqual([...source.graph.weights.keys()]);
    expect(model.graph.nodes).toHaveLength(source.graph.nodes.length);
    expect(model.graph.outputs).toEqual(source.graph.outputs);
    expect(bytes(model)).not.toEqual(bytes(source));
  });

  test("what diverges holds the student as it was, without what was added", async () => {
    const source = convNet(5, 9);
    const huge: AnswerFunction = () => ({ [inner]: f32([20, 12, 4, 4], () => 1e30) });
    const error = await trainStudent(source, {
      ...common,
      teacher: huge,
      data,
      epochs: 1,
      hints: [{ student: inner }],
    }).catch((e: unknown) => e);
    if (!isDiverged(error)) throw error;
    expect([...error.trained.model.graph.weights.keys()]).toEqual([...source.graph.weights.keys()]);
    expect(error.trained.model.graph.outputs).toEqual(source.graph.outputs);
  });

  test("attention transfer makes maps alike", async () => {
    const source = convNet(5, 9);
    const { model } = await trainStudent(source, {
      ...common,
      teacher,
      data,
      epochs: 20,
      attention: [{ student: inner, weight: 100 }],
      batchNormalization: "frozen",
    });
    expect(await distance(model)).toBeLessThan((await distance(source)) / 2);
  });

  test("a hint of another size of places is refused with both shapes", async () => {
    const first = "sequential/relu/Relu:out";
    const wrong = trainStudent(convNet(5, 9), {
      ...common,
      teacher,
      data,
      epochs: 1,
      hints: [{ student: inner, teacher: first }],
    });
    await expect(wrong).rejects.toThrow("[20,5,4,4], of the teacher [20,12,8,8]");
    // The other way round a larger kernel takes the difference.
    const { steps } = await trainStudent(convNet(5, 9), {
      ...common,
      teacher,
      data,
      epochs: 1,
      hints: [{ student: first, teacher: inner }],
    });
    expect(steps).toBe(4);
  });
});

describe("trainBlocks", () => {
  const teacher = convNet(12, 1);
  /** The teacher with its weights rounded coarsely. */
  const damaged: Model = {
    ...teacher,
    graph: {
      ...teacher.graph,
      weights: new Map(
        [...teacher.graph.weights].map(([name, t]) => [
          name,
          name.endsWith("weight") ? f32(t.shape, (i) => Math.round(3 * numbers(t as ResidentTensor)[i]!) / 3) : t,
        ]),
      ),
    },
  };
  const answers = async (m: Model) => {
    const session = await runtime.prepare(m);
    const { logits } = await session.run({ image });
    await session.close();
    return numbers(logits);
  };

  test("blocks end between layers, and after residual additions", () => {
    expect(blockEnds(teacher)).toEqual(
      [`sequential/relu/Relu:out`, "sequential/global_average_pool/GlobalAveragePool:out"].map((v) =>
        expect.stringContaining(v.split("/")[1]!),
      ),
    );
  });

  test("repairs a damaged model from samples without labels", async () => {
    const [right, wrong] = [await answers(teacher), await answers(damaged)];
    const error = (v: readonly number[]) => Math.hypot(...v.map((x, i) => x - right[i]!));
    const { model, history } = await trainBlocks(damaged, {
      ...common,
      rate: 0.005,
      teacher,
      data: batched({ image }, { size: 20, shuffle: 1 }),
      epochs: 30,
      batchNormalization: "frozen",
    });
    expect(history.at(-1)!.loss).toBeLessThan(history[0]!.loss / 3);
    expect(error(await answers(model))).toBeLessThan(error(wrong) / 2);
    expect(model.graph.nodes.map((n) => n.inputs)).toEqual(damaged.graph.nodes.map((n) => n.inputs));
  });

  test("ends that differ in shape are refused", async () => {
    const made = trainBlocks(convNet(5, 1), {
      ...common,
      optimizer: sgd(),
      teacher,
      data: batched({ image }, { size: 20 }),
      epochs: 1,
    });
    expect(await codeOf(made)).toBe("distill/blocks");
  });
});
