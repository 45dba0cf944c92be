import { dataOf, isPareError, type Model, type ResidentTensor, tensor, type Values } from "@pare/core";
import { parse } from "@pare/core/parse";
import {
  build,
  dsCnn,
  type Layer,
  lenet5,
  lenet300,
  lenetCaffe,
  mobilenetV2Small,
  resnet8,
  resnet20,
  vggSmall,
  vitSmall,
} from "@pare/nn";
import { ort } from "@pare/runtime-ort";
import { parametersOf } from "@pare/train";
import { describe, expect, test } from "vitest";
import { student } from "./student.ts";

const runtime = ort({ isolate: false });

const count = (m: Model) => parametersOf(m).reduce((n, w) => n + w.tensor.shape.reduce((a, b) => a * b, 1), 0);

const batchOf = (m: Model, rows = 2): Values =>
  Object.fromEntries(
    m.graph.inputs.map(({ name, type }) => {
      const shape = [rows, ...(type as unknown as { shape: number[] }).shape.slice(1)];
      const length = shape.reduce((a, b) => a * b, 1);
      return [
        name,
        tensor(
          "float32",
          shape,
          Float32Array.from({ length }, (_, i) => Math.sin(1.7 * i)),
        ),
      ];
    }),
  );

async function outputs(m: Model, batch = batchOf(m)): Promise<Record<string, ResidentTensor>> {
  const session = await runtime.prepare(m);
  const results = await session.run(batch);
  await session.close();
  return results;
}

const numbers = (t: ResidentTensor | undefined) => [...dataOf(t as ResidentTensor<"float32">)];

const image = [1, 28, 28];
const classics: readonly (readonly [string, Layer, readonly number[]])[] = [
  ["LeNet-300-100", lenet300(), image],
  ["LeNet-5", lenet5(), image],
  ["LeNet of Caffe", lenetCaffe(), image],
  ["VGG", vggSmall(), image],
  ["ResNet-8", resnet8(), image],
  ["ResNet-20", resnet20(), [3, 32, 32]],
  ["MobileNetV2", mobilenetV2Small(), image],
  ["DS-CNN", dsCnn(), [1, 49, 10]],
  ["ViT", vitSmall(), image],
];

describe("student", () => {
  for (const [name, layer, input] of classics)
    for (const weights of ["keep", "new"] as const)
      test(`${name} of half the width has about a quarter of the parameters (${weights})`, async () => {
        const teacher = build(layer, { input, seed: 3 });
        const small = await student(teacher, { width: 0.5, weights });
        const share = count(small) / count(teacher);
        // Matrices that end at inputs or classes, and vectors, only halve.
        expect(share).toBeGreaterThan(0.2);
        expect(share).toBeLessThan(0.5);
        const [whole, part] = [await outputs(teacher), await outputs(small)];
        expect(part["logits"]!.shape).toEqual(whole["logits"]!.shape);
        expect(numbers(part["logits"]).every(Number.isFinite)).toBe(true);
        expect(new Set(numbers(part["logits"])).size).toBeGreaterThan(2);
      });
});

describe("what goes together", () => {
  const f32 = (shape: readonly number[], make: (i: number) => number) =>
    tensor(
      "float32",
      shape,
      Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => make(i)),
    );
  const wave = (shape: readonly number[], seed = 1) => f32(shape, (i) => Math.sin(2.1 * i + seed));

  test("channels that are zero go first, and what is kept computes the same", async () => {
    // Two of four channels give nothing, in every layer and group: leaving them out changes no result.
    const half = (t: ResidentTensor, axis: number) => {
      const stride = t.shape.slice(axis + 1).reduce((n, d) => n * d, 1);
      return f32(t.shape, (i) => (Math.floor(i / stride) % 4 < 2 ? 0 : numbers(t)[i]!));
    };
    const teacher = parse(
      `main (x: float32[N,2,4,4]) => (y: float32[N,3]) {
        a: float32[8,2,3,3] = …  ab: float32[8] = …  s: float32[8] = …  z: float32[8] = …  m: float32[8] = …  v: float32[8] = …
        d: float32[8,1,3,3] = …  b: float32[8,8,1,1] = …  g: float32[8,4,3,3] = …  w: float32[256,8] = …  wb: float32[8] = …  o: float32[8,3] = …
        f: int64[2] = {0, 256}
        c1 = Conv<pads=[1,1,1,1]>(x, a, ab)  n1 = BatchNormalization(c1, s, z, m, v)  r1 = Relu(n1)
        c2 = Conv<pads=[1,1,1,1], group=8>(r1, d)  c3 = Conv(c2, b)  r2 = Add(c3, r1)
        c4 = Conv<pads=[1,1,1,1], group=2>(r2, g)  j = Concat<axis=1>(r2, c4)
        k = Reshape(j, f)  h = Gemm(k, w, wb)  t = Relu(h)  y = MatMul(t, o)
      }`,
      {
        weights: {
          a: half(wave([8, 2, 3, 3]), 0),
          ab: half(wave([8]), 0),
          s: f32([8], () => 1),
          z: half(wave([8], 2), 0),
          m: f32([8], () => 0),
          v: f32([8], () => 1),
          d: half(wave([8, 1, 3, 3], 3), 0),
          b: half(half(wave([8, 8, 1, 1], 4), 0), 1),
          g: half(wave([8, 4, 3, 3], 5), 0),
          w: half(wave([256, 8], 6), 1),
          wb: half(wave([8], 7), 0),
          o: wave([8, 3], 8),
        },
      },
    );
    const small = await student(teacher, { width: 0.5 });
    const shapes = Object.fromEntries([...small.graph.weights].map(([k, t]) => [k, t.shape.join()]));
    expect(shapes).toMatchObject({
      a: "4,2,3,3",
      s: "4",
      d: "4,1,3,3",
      b: "4,4,1,1",
      g: "4,2,3,3",
      w: "128,4",
      o: "4,3",
    });
    const [whole, part] = [await outputs(teacher), await outputs(small)];
    numbers(whole["y"]).forEach((v, i) => void expect(numbers(part["y"])[i]).toBeCloseTo(v, 4));
  });

  test("kept channels are those of the largest weights, and dead ones change nothing", async () => {
    const alive = (i: number) => i % 2 === 1;
    const teacher = parse(
      `main (x: float32[N,3]) => (y: float32[N,2]) {
        a: float32[3,6] = …  c: float32[6] = …  e: float32[6,4] = …  o: float32[4,2] = …
        h = Gemm(x, a, c)  r = Relu(h)  l = MatMul(r, e)  t = Tanh(l)  y = MatMul(t, o)
      }`,
      {
        weights: {
          a: f32([3, 6], (i) => (alive(i % 6) ? Math.sin(i) : 0)),
          c: f32([6], (i) => (alive(i) ? 0.2 : 0)),
          e: f32([6, 4], (i) => (alive(i % 4) ? Math.cos(3 * i) : 0)),
          o: wave([4, 2]),
        },
      },
    );
    const small = await student(teacher, { width: 0.5 });
    expect(count(small)).toBeLessThan(count(teacher) / 2);
    const [whole, part] = [await outputs(teacher), await outputs(small)];
    numbers(whole["y"]).forEach((v, i) => void expect(numbers(part["y"])[i]).toBeCloseTo(v, 5));
  });

  test("what no rule knows stays as it is, and says so", async () => {
    const weights = { a: wave([3, 6]), b: wave([6, 6]), c: wave([6, 2]) };
    const source = (middle: string) =>
      parse(
        `<"": 27, "acme": 1> main (x: float32[N,3]) => (y: float32[N,2]) {
          a: float32[3,6] = …  b: float32[6,6] = …  c: float32[6,2] = …
          h = MatMul(x, a)  k = ${middle}(h)  l = Gemm(k, b)  y = MatMul(l, c)
        }`,
        { weights },
      );
    const reasons: string[] = [];
    const small = await student(source("acme.Mix"), {
      width: 0.5,
      onSkip: (w, reason) => reasons.push(`${w.name}: ${reason}`),
    });
    expect([...small.graph.weights.values()].map((t) => t.shape)).toEqual([
      [3, 6],
      [6, 3],
      [3, 2],
    ]);
    expect(reasons.find((r) => r.startsWith("a: "))).toContain("acme.Mix");
    const linear = parse(`main (x: float32[N,3]) => (y: float32[N,6]) { a: float32[3,6] = …  y = MatMul(x, a) }`, {
      weights: { a: weights.a },
    });
    const error = await student(linear, { width: 0.5 }).catch((e: unknown) => e);
    expect(isPareError(error) && error.code).toBe("distill/student");
    expect(isPareError(error) && error.diagnostics[0]!.hint).toContain("output of the model");
  });
});

describe("depth", () => {
  test("leaves out residual blocks that keep shapes, evenly", async () => {
    const teacher = build(resnet20(), { input: [3, 32, 32], seed: 2 });
    const adds = (m: Model) => m.graph.nodes.filter((n) => n.op === "Add").length;
    expect(adds(teacher)).toBe(9);
    const half = await student(teacher, { depth: 0.5 });
    // 3, 2 and 2 keep shapes; 2, 1 and 1 of them stay, and the two that do not.
    expect(adds(half)).toBe(6);
    const none = await student(teacher, { depth: 0 });
    expect(adds(none)).toBe(2);
    for (const m of [half, none]) {
      expect((await outputs(m))["logits"]!.shape).toEqual([2, 10]);
      // Nothing that is left out leaves its weights behind.
      const read = new Set(m.graph.nodes.flatMap((n) => n.inputs));
      expect([...m.graph.weights.keys()].filter((w) => !read.has(w))).toEqual([]);
    }
  });

  test("a transformer loses whole blocks, and width and depth go together", async () => {
    const teacher = build(vitSmall({ depth: 4 }), { input: image });
    const small = await student(teacher, { depth: 0.5, width: 0.5 });
    expect(small.graph.nodes.filter((n) => n.op === "Softmax")).toHaveLength(2);
    expect(small.graph.nodes.filter((n) => n.op === "Gelu")).toHaveLength(2);
    expect((await outputs(small))["logits"]!.shape).toEqual([2, 10]);
  });

  test("a network without residual blocks is refused, and options are checked", async () => {
    const codeOf = (options: Parameters<typeof student>[1]) =>
      student(build(lenet5(), { input: image }), options).catch((e: unknown) => isPareError(e) && e.code);
    expect(await codeOf({ depth: 0.5 })).toBe("distill/student");
    expect(await codeOf({ width: 0 })).toBe("distill/options");
    expect(await codeOf({ width: 1.5 })).toBe("distill/options");
    expect(await codeOf({ depth: -1 })).toBe("distill/options");
  });
});
