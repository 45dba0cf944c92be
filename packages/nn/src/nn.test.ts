import { dataOf, isPareError, type Model, type ResidentTensor, resident, tensor, verify, viewOf } from "@pare/core";
import { evaluate } from "@pare/ops/evaluate";
import { inferTypes } from "@pare/ops/infer";
import { describe, expect, test } from "vitest";
import * as nn from "./index.ts";
import { initialized } from "./initialize.ts";

const elements = (m: Model, counts: (name: string) => boolean) =>
  [...m.graph.weights]
    .filter(([name, t]) => t.dtype === "float32" && t.shape.length > 0 && counts(name))
    .reduce((sum, [, t]) => sum + t.shape.reduce((n, d) => n * d, 1), 0);

const isRunning = (name: string) => /\/(mean|variance)$/.test(name);
/** As papers count: without the running statistics of normalizations. */
const parameters = (m: Model) => elements(m, (name) => !isRunning(name));

// Of the papers, of torchvision's tables, and of the networks of the same structure that PyTorch trained for our comparisons.
const classics: Readonly<Record<string, readonly [nn.Layer, readonly number[], number]>> = {
  "LeNet-300-100": [nn.lenet300(), [1, 28, 28], 266_610],
  "LeNet-5": [nn.lenet5(), [1, 28, 28], 61_706],
  "LeNet-5 of Caffe": [nn.lenetCaffe(), [1, 28, 28], 431_080],
  "VGG-11": [nn.vgg11(), [3, 224, 224], 132_863_336],
  "VGG-16": [nn.vgg16(), [3, 224, 224], 138_357_544],
  "ResNet-20": [nn.resnet20(), [3, 32, 32], 272_474],
  "ResNet-50": [nn.resnet50(), [3, 224, 224], 25_557_032],
  MobileNetV2: [nn.mobilenetV2(), [3, 224, 224], 3_504_872],
  "a small VGG": [nn.vggSmall(), [1, 28, 28], 222_298],
  "ResNet-8": [nn.resnet8(), [1, 28, 28], 77_754],
  "a small MobileNetV2": [nn.mobilenetV2Small(), [1, 28, 28], 99_658],
  "a small ViT": [nn.vitSmall(), [1, 28, 28], 221_162],
};

test.each(Object.entries(classics))("%s has the parameters that it is known for", (_, [layer, input, count]) => {
  const m = nn.build(layer, { input });
  expect(parameters(m)).toBe(count);
  expect(verify(m)).toEqual([]);
  const type = inferTypes(m).of(viewOf(m).main, "logits");
  expect(type).toMatchObject({ dtype: "float32", shape: ["N", count > 1e6 ? 1000 : 10] });
});

test("DS-CNN has those of MLPerf Tiny, running statistics among them", () => {
  expect(elements(nn.build(nn.dsCnn(), { input: [1, 49, 10] }), () => true)).toBe(24_908);
});

test.each([
  ["lenet5", nn.lenet5(), [1, 28, 28]],
  ["resnet8", nn.resnet8(), [1, 28, 28]],
  ["mobilenetV2Small", nn.mobilenetV2Small(), [1, 28, 28]],
  ["vitSmall", nn.vitSmall({ depth: 1 }), [1, 28, 28]],
  ["dsCnn", nn.dsCnn(10), [1, 49, 10]],
] as const)("%s computes, and its outputs are neither dead nor enormous", async (_, layer, input) => {
  const m = nn.build(layer, { input, seed: 3 });
  const count = 2 * input.reduce((n: number, d) => n * d, 1);
  const x = tensor(
    "float32",
    [2, ...input],
    Float32Array.from({ length: count }, (_, i) => Math.sin(i * 0.3)),
  );
  const { logits } = await evaluate(m, { input: x });
  expect(logits!.shape).toEqual([2, 10]);
  const values = [...dataOf(logits as ResidentTensor<"float32">)];
  const size = Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / values.length);
  expect(size).toBeGreaterThan(1e-3);
  expect(size).toBeLessThan(100);
});

describe("initializers", () => {
  const fan = { in: 300, out: 100 };
  const numbers = async (initializer: nn.Initializer, seed = 1, name = "w") =>
    dataOf((await resident(initialized(initializer, [100, 300], fan, seed, name))) as ResidentTensor<"float32">);
  const moments = (values: Float32Array) => {
    const mean = values.reduce((s, v) => s + v, 0) / values.length;
    return { mean, deviation: Math.sqrt(values.reduce((s, v) => s + (v - mean) ** 2, 0) / values.length) };
  };

  test.each([
    [nn.heNormal, Math.sqrt(2 / 300)],
    [nn.lecunNormal, Math.sqrt(1 / 300)],
    [nn.glorotUniform, Math.sqrt(6 / 400) / Math.sqrt(3)],
    [nn.fanInUniform, 1 / Math.sqrt(300) / Math.sqrt(3)],
    // A normal distribution cut at two deviations has 0.87962566 of its deviation.
    [nn.truncatedNormal(0.02), 0.02 * 0.87962566],
  ])("$name has the deviation that it is defined by", async (initializer, deviation) => {
    const found = moments(await numbers(initializer));
    expect(found.deviation / deviation).toBeCloseTo(1, 1);
    expect(Math.abs(found.mean)).toBeLessThan((4 * deviation) / Math.sqrt(30_000));
  });

  test("neither neighbours nor weights of another name or seed go together", async () => {
    const all = [await numbers(nn.heNormal), await numbers(nn.heNormal, 2), await numbers(nn.heNormal, 1, "v")];
    const shifted = [...all, all[0]!.subarray(1)];
    for (const [i, a] of all.entries())
      for (const b of shifted.slice(i + 1)) {
        const n = Math.min(a.length, b.length);
        const [p, q] = [moments(a), moments(b)];
        let sum = 0;
        for (let k = 0; k < n; k++) sum += (a[k]! - p.mean) * (b[k]! - q.mean);
        expect(Math.abs(sum / n / p.deviation / q.deviation)).toBeLessThan(0.025);
      }
  });

  test("a large weight is the same, whatever part of it is read", async () => {
    const w = initialized(nn.heNormal, [700, 900], fan, 5, "big");
    expect(w.bytes).toBeUndefined();
    const whole = await w.read();
    const part = await w.read({ offset: 1_234_568, length: 40_000 });
    expect(Buffer.compare(part, whole.subarray(1_234_568, 1_274_568))).toBe(0);
  });
});

test("the same seed gives the same model, and a layer's weights do not depend on the others", async () => {
  const head = (m: Model) => m.graph.weights.get("sequential/dense/weight")!;
  const one = nn.build(nn.sequential(nn.flatten(), nn.dense(4)), { input: [2, 3] });
  const two = nn.build(nn.sequential(nn.flatten(), nn.dense(4), nn.relu(), nn.dense(2)), { input: [2, 3] });
  const other = nn.build(nn.sequential(nn.flatten(), nn.dense(4)), { input: [2, 3], seed: 1 });
  expect(head(two).bytes).toEqual(head(one).bytes);
  expect(head(other).bytes).not.toEqual(head(one).bytes);
});

test.each([
  [nn.sequential(nn.conv2d(4, 3), nn.dense(3)), /sequential\/dense.*\[4,8,8\].*flatten/],
  [nn.conv2d(4, 3, { groups: 3 }), /conv2d.*2 channels.*3 groups/],
  [nn.conv2d(4, 9, { padding: "valid" }), /window of \[9,9\]/],
  [nn.residual(nn.conv2d(4, 3)), /residual.*\[4,8,8\].*\[2,8,8\].*shortcut/],
  [nn.sequential(nn.tokens(), nn.attention(3)), /attention.*3 heads.*\[64,2\]/],
  [nn.dropout(1), /rate of 1/],
])("a layer that does not fit is named, with what it is given", (layer, message) => {
  try {
    nn.build(layer, { input: [2, 8, 8] });
    expect.unreachable();
  } catch (error) {
    expect(isPareError(error) && error.code).toBe("nn/layer");
    expect((error as Error).message).toMatch(message);
  }
});
