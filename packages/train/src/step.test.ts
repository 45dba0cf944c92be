import {
  dataOf,
  graph,
  type Model,
  model,
  node,
  type ResidentTensor,
  resident,
  tensor,
  type Values,
  value,
} from "@pare/core";
import { parse } from "@pare/core/parse";
import { evaluate } from "@pare/ops/evaluate";
import { numbersOf } from "@pare/ops/numeric";
import { describe, expect, test } from "vitest";
import { meanSquaredError } from "./losses.ts";
import { adam, adamW, type Optimizer, sgd } from "./optimizers.ts";
import { type StepOptions, type TrainingStep, trainingStep } from "./step.ts";

const f32 = (shape: readonly number[], values: readonly number[]) => tensor("float32", shape, values);
const loss = meanSquaredError({ output: "y", target: "t" });
/** y = x * w, element by element, so that gradients are plain: 2 x (x w - t) / n. */
const scaling = (w: readonly number[]): Model =>
  parse(`main (x: float32[3]) => (y: float32[3]) { w: float32[3] = {${w}}  y = Mul(x, w) }`);
const x = f32([3], [1, -2, 0.5]);
const t = f32([3], [0.5, 1, -1]);
const start = [0.7, -0.3, 2];
const gradientAt = (w: readonly number[]) =>
  w.map((v, i) => (2 / 3) * [1, -2, 0.5][i]! * ([1, -2, 0.5][i]! * v - [0.5, 1, -1][i]!));

/** Runs steps in the evaluator; gives the state after each. */
async function run(step: TrainingStep, batch: Values, rates: readonly number[]) {
  let state: Record<string, ResidentTensor> = {};
  for (const [name, first] of step.initial) state[name] = await resident(first);
  const seen: { state: Record<string, number[]>; loss: number; norm: number }[] = [];
  for (const [i, rate] of rates.entries()) {
    const results = await evaluate(step.model, {
      ...batch,
      ...state,
      [step.rate]: f32([], [rate]),
      [step.step]: f32([], [i + 1]),
    });
    state = Object.fromEntries(Object.entries(step.state).map(([output, input]) => [input, results[output]!]));
    const numbers = Object.fromEntries(Object.entries(state).map(([name, v]) => [name, [...numbersOf(v)]]));
    seen.push({ state: numbers, loss: numbersOf(results[step.loss]!)[0]!, norm: numbersOf(results[step.norm]!)[0]! });
  }
  return { seen, state };
}

const close = (got: readonly number[], expected: readonly number[]) =>
  got.forEach((v, i) => void expect(v).toBeCloseTo(expected[i]!, 5));

describe("optimizers do what their papers say", () => {
  const rates = [0.1, 0.1, 0.05, 0.2];
  const moves = async (
    optimizer: Optimizer,
    reference: (w: number[], g: number[], rate: number, step: number) => number[],
  ) => {
    const step = trainingStep(scaling(start), { loss, optimizer, batch: { x, t } });
    const { seen } = await run(step, { x, t }, rates);
    let w = start;
    rates.forEach((rate, i) => {
      w = reference(w, gradientAt(w), rate, i + 1);
      close(seen[i]!.state["w"]!, w);
    });
  };

  test("SGD", () => moves(sgd(), (w, g, r) => w.map((v, i) => v - r * g[i]!)));
  test("SGD with momentum and weight decay", () => {
    let v = [0, 0, 0];
    return moves(sgd({ momentum: 0.9, weightDecay: 0.1 }), (w, g, r) => {
      v = v.map((p, i) => 0.9 * p + g[i]! + 0.1 * w[i]!);
      return w.map((p, i) => p - r * v[i]!);
    });
  });
  test("SGD with Nesterov's momentum", () => {
    let v = [0, 0, 0];
    return moves(sgd({ momentum: 0.8, nesterov: true }), (w, g, r) => {
      v = v.map((p, i) => 0.8 * p + g[i]!);
      return w.map((p, i) => p - r * (g[i]! + 0.8 * v[i]!));
    });
  });
  for (const [name, decay, apart] of [
    ["Adam", 0, false],
    ["Adam with weight decay", 0.1, false],
    ["AdamW", 0.1, true],
  ] as const)
    test(name, () => {
      let [m, s] = [
        [0, 0, 0],
        [0, 0, 0],
      ];
      const optimizer = apart ? adamW({ weightDecay: decay }) : adam({ weightDecay: decay });
      return moves(optimizer, (w, raw, r, k) => {
        const g = raw.map((v, i) => v + (apart ? 0 : decay * w[i]!));
        m = m.map((v, i) => 0.9 * v + 0.1 * g[i]!);
        s = s.map((v, i) => 0.999 * v + 0.001 * g[i]! ** 2);
        return w.map((v, i) => {
          const first = m[i]! / (1 - 0.9 ** k);
          const second = s[i]! / (1 - 0.999 ** k);
          return v - (apart ? r * decay * v : 0) - (r * first) / (Math.sqrt(second) + 1e-8);
        });
      });
    });
});

describe("trainingStep", () => {
  const make = (options: Partial<StepOptions> = {}) =>
    trainingStep(scaling(start), { loss, optimizer: sgd(), batch: { x, t }, ...options });

  test("clips gradients by their norm and by their size", async () => {
    const g = gradientAt(start);
    const norm = Math.hypot(...g);
    const byNorm = await run(make({ clip: { norm: 0.5 } }), { x, t }, [1]);
    close(
      byNorm.seen[0]!.state["w"]!,
      start.map((v, i) => v - (g[i]! * 0.5) / norm),
    );
    expect(byNorm.seen[0]!.norm).toBeCloseTo(norm, 5);
    const byValue = await run(make({ clip: { value: 0.3 } }), { x, t }, [1]);
    close(
      byValue.seen[0]!.state["w"]!,
      start.map((v, i) => v - Math.max(-0.3, Math.min(0.3, g[i]!))),
    );
  });

  test("holds pruned weights at zero, and keeps a moving average", async () => {
    const step = trainingStep(scaling([0.7, 0, 2]), {
      loss,
      optimizer: sgd({ momentum: 0.9 }),
      batch: { x, t },
      masks: { w: f32([3], [1, 0, 1]) },
      average: 0.75,
    });
    const { seen, state } = await run(step, { x, t }, [0.1, 0.1]);
    expect(seen.map((s) => s.state["w"]![1])).toEqual([0, 0]);
    const [one, two] = seen.map((s) => s.state["w"]!) as [number[], number[]];
    const first = [0.7, 0, 2].map((v, i) => 0.75 * v + 0.25 * one[i]!);
    close(
      seen[1]!.state["w_average"]!,
      first.map((v, i) => 0.75 * v + 0.25 * two[i]!),
    );
    const trained = step.apply(new Map(Object.entries(state)));
    const w = trained.graph.weights.get("w")! as ResidentTensor<"float32">;
    expect([...dataOf(w)]).toEqual([...dataOf(state["w_average"] as ResidentTensor<"float32">)]);
  });

  test("weights that the loss does not reach stay, and the rest of the network is computed with them", async () => {
    const m = parse(
      `main (x: float32[3]) => (z: float32[3], y: float32[3]) {
        w: float32[3] = {0.7, -0.3, 2}  v: float32[3] = {1, 2, 3}  y = Mul(x, w)  z = Mul(y, v)
      }`,
    );
    const step = trainingStep(m, { loss, optimizer: sgd(), batch: { x, t } });
    expect(step.parameters).toEqual(["w"]);
    const { seen, state } = await run(step, { x, t }, [0.1]);
    close(
      seen[0]!.state["w"]!,
      start.map((v, i) => v - 0.1 * gradientAt(start)[i]!),
    );
    expect([...numbersOf(step.apply(new Map(Object.entries(state))).graph.weights.get("v") as ResidentTensor)]).toEqual(
      [1, 2, 3],
    );
  });

  test("groups have optimizers of their own, and frozen weights stay", async () => {
    const m = parse(`main (x: float32[2,3]) => (y: float32[2,2]) {
      a: float32[3,3] = {1,2,3,4,5,6,7,8,9}  c: float32[3] = {1,1,1}  b: float32[3,2] = {1,2,3,4,5,6}
      h = MatMul(x, a)  k = Add(h, c)  y = MatMul(k, b)
    }`);
    const batch = { x: f32([2, 3], [1, 2, 3, 4, 5, 6]), t: f32([2, 2], [0, 0, 0, 0]) };
    const options = {
      loss,
      optimizer: sgd({ momentum: 0.9 }),
      batch,
      frozen: ["a"],
      groups: [{ include: ["c"], optimizer: sgd() }],
    };
    const step = trainingStep(m, options);
    expect(step.parameters).toEqual(["c", "b"]);
    expect([...step.initial.keys()]).toEqual(["c", "b", "b_velocity"]);
  });

  test("nothing moves where the loss is no number", async () => {
    const { seen } = await run(make({ optimizer: adam() }), { x: f32([3], [Number.NaN, 1, 1]), t }, [0.1]);
    expect(seen[0]!.loss).toBeNaN();
    close(seen[0]!.state["w"]!, start);
    expect(seen[0]!.state["w_first"]).toEqual([0, 0, 0]);
  });

  test("says all that is wrong with a batch, and refuses what is no loss", () => {
    expect(() => make({ batch: {} })).toThrow(/train\/batch: .*value x[\s\S]*train\/batch: .*value t/);
    expect(() => make({ batch: { x: f32([4], [1, 2, 3, 4]), t } })).toThrow(
      /takes float32 \[3\], but the batch has float32 \[4\]/,
    );
    expect(() => make({ loss: scaling(start) })).toThrow(/train\/loss/);
    expect(() => make({ frozen: ["*"] })).toThrow(/train\/no-parameters/);
    expect(() => make({ average: 2 })).toThrow(/train\/options/);
  });

  test("drops as often as it should, and otherwise in each step", async () => {
    const m = model(
      graph({
        inputs: [value("x", "float32", [64, 64])],
        outputs: [value("y", "float32", [64, 64])],
        weights: new Map([
          ["w", f32([64], Array(64).fill(1))],
          ["r", f32([], [0.25])],
        ]),
        nodes: [node("Mul", ["x", "w"], ["h"]), node("Dropout", ["h", "r"], ["y"])],
      }),
    );
    const ones = f32([64, 64], Array(4096).fill(1));
    const step = trainingStep(m, {
      loss: parse("main (y: float32[64,64]) => (l: float32[]) { l = ReduceMean<keepdims=0>(y) }"),
      optimizer: sgd(),
      batch: { x: ones },
      seed: 3,
    });
    const { seen } = await run(step, { x: ones }, [0, 0, 0]);
    for (const s of seen) expect(Math.abs(s.loss - 1)).toBeLessThan(0.03);
    expect(new Set(seen.map((s) => s.loss)).size).toBe(3);
    const again = await run(step, { x: ones }, [0, 0, 0]);
    expect(again.seen.map((s) => s.loss)).toEqual(seen.map((s) => s.loss));
  });

  test("moves running statistics", async () => {
    const m = parse(`main (x: float32[4,2]) => (y: float32[4,2]) {
      s: float32[2] = {1, 2}  b: float32[2] = {0, 1}  mean: float32[2] = {0, 0}  variance: float32[2] = {1, 1}
      y = BatchNormalization<momentum=0.5>(x, s, b, mean, variance)
    }`);
    const batch = { x: f32([4, 2], [1, 2, 3, 4, 5, 6, 7, 8]), t: f32([4, 2], Array(8).fill(0)) };
    const step = trainingStep(m, { loss, optimizer: sgd(), batch });
    const { seen, state } = await run(step, batch, [0]);
    close(seen[0]!.state["mean"]!, [2, 2.5]);
    close(seen[0]!.state["variance"]!, [3, 3]);
    const trained = step.apply(new Map(Object.entries(state)));
    expect(trained.graph.nodes).toEqual(m.graph.nodes);
    close([...numbersOf(await resident(trained.graph.weights.get("mean")!))], [2, 2.5]);
    const frozen = trainingStep(m, { loss, optimizer: sgd(), batch, batchNormalization: "frozen" });
    expect([...frozen.initial.keys()]).toEqual(["s", "b"]);
  });
});
