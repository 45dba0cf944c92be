import { graph, model, node, type Runtime, type Session, samplesFrom, tensor, type Values, value } from "@pare/core";
import { numbersOf } from "@pare/ops/numeric";
import { expect, test } from "vitest";
import { compare } from "./compare.ts";

/** A chain x -> Relu -> h -> Relu -> y whose values `give` makes up, and which counts what it is asked for. */
function fake(
  give: (name: string, x: Float32Array) => number[] | ReturnType<typeof tensor>,
  asked: string[][] = [],
): Runtime {
  const prepare = async (): Promise<Session> => ({
    inputs: [],
    outputs: [],
    async run(inputs: Values, options) {
      asked.push([...(options?.outputs ?? [])]);
      const x = Float32Array.from(numbersOf(Object.values(inputs)[0]!));
      return Object.fromEntries(
        (options?.outputs ?? []).map((name) => {
          const made = give(name, x);
          return [name, Array.isArray(made) ? tensor("float32", [made.length], made) : made];
        }),
      ) as Values;
    },
    async close() {},
  });
  return { name: "fake", version: async () => "1", prepare };
}

const chain = (names = ["h0", "h1", "h2"], out = "y", input = "x") =>
  model(
    graph({
      inputs: [value(input, "float32", [4])],
      outputs: [value(out, "float32", [4])],
      nodes: [...names, out].map((v, i, all) => node("Relu", [i === 0 ? input : all[i - 1]!], [v])),
    }),
  );
const samples = samplesFrom([
  { x: tensor("float32", [4], [1, 2, 3, 4]) },
  { x: tensor("float32", [4], [-1, 0, 0, 2]) },
]);
const same = (_: string, x: Float32Array) => [...x];

test("the figures are those of the definitions, over all samples", async () => {
  const noisy = (_: string, x: Float32Array) => [x[0]! + 0.5, ...x.slice(1)];
  const a = { name: "a", model: chain(), runtime: fake(same) };
  const c = await compare(a, { ...a, name: "b", runtime: fake(noisy) }, { samples });
  const y = c.outputs[0]!;
  expect(c.samples).toBe(2);
  expect(y.sqnrDb).toBeCloseTo(10 * Math.log10((30 + 5) / (2 * 0.25)), 12);
  expect(y.maxAbsError).toBe(0.5);
  expect(y.maxRelativeError).toBeCloseTo(0.5 / 5, 12);
  expect(y.equalShare).toBe(6 / 8);
  expect([y.rangeA, y.rangeB]).toEqual([
    [-1, 4],
    [-0.5, 4],
  ]);
  // <a,b> / |a||b| by hand: b = [1.5,2,3,4], [-0.5,0,0,2].
  expect(y.cosine).toBeCloseTo((1.5 + 4 + 9 + 16 + 0.5 + 4) / Math.sqrt(35 * (2.25 + 4 + 9 + 16 + 0.25 + 4)), 12);
});

test("identical values are infinitely good; formats are compared as numbers", async () => {
  const half = () => tensor("float16", [4], new Uint16Array([0x3c00, 0x4000, 0x4200, 0x4400]));
  const one = samplesFrom([{ x: tensor("float32", [4], [1, 2, 3, 4]) }]);
  const a = { name: "a", model: chain(), runtime: fake(same) };
  const c = await compare(a, { ...a, runtime: fake(half) }, { samples: one });
  expect(c.outputs[0]).toMatchObject({
    sqnrDb: Number.POSITIVE_INFINITY,
    equalShare: 1,
    dtypes: ["float32", "float16"],
  });
});

test("NaN and infinite values are counted and rank first, as do shapes that differ", async () => {
  const broken = (name: string, x: Float32Array) =>
    name === "h1"
      ? [Number.NaN, ...x.slice(1)]
      : name === "h2"
        ? [1, 2]
        : name === "y"
          ? [...x]
          : [x[0]! * 9, ...x.slice(1)];
  const a = { name: "a", model: chain(), runtime: fake(same) };
  const c = await compare(a, { ...a, runtime: fake(broken) }, { samples, values: "all" });
  expect(c.values.map((v) => v.name)).toEqual(["h2", "h1", "h0", "y"]);
  expect(c.values[0]!.mismatch).toBe("has shape [4] and became [2]");
  expect(c.values[1]).toMatchObject({ notFiniteA: 0, notFiniteB: 2, broken: 2 });
});

test("values are named by position where names differ, and inputs are renamed and converted", async () => {
  const b = chain(["h0", "h1", "h2"], "z", "image");
  const half = { ...b, graph: { ...b.graph, inputs: [value("image", "float16", [4])] } };
  const c = await compare(
    { name: "a", model: chain(), runtime: fake(same) },
    { name: "b", model: half, runtime: fake(same) },
    { samples },
  );
  expect(c.outputs[0]).toMatchObject({ name: "y", otherName: "z", sqnrDb: Number.POSITIVE_INFINITY });
  expect(c.notes.join("\n")).toMatch(
    /output y .* with z by position[\s\S]*input x .* with image[\s\S]*converted to float16/,
  );
});

test("inner values come in slices under the budget", async () => {
  const asked: string[][] = [];
  const a = { name: "a", model: chain(), runtime: fake(same, asked) };
  await compare(a, a, { samples, values: "all", memoryBudget: 64 });
  // A value takes 16 bytes in each model: two fit, and the first comes alone.
  const slices = asked.filter((list) => !list.includes("y")).map((list) => list.join());
  expect(slices).toEqual(["h0", "h0", "h1,h2", "h1,h2", "h0,h1", "h0,h1", "h2", "h2"]);
});

test("the first jump of the error is found, and gradual loss is none", async () => {
  const levels: Record<string, number> = { h0: 38, h1: 36, h2: 15, y: 14 };
  const at = (dB: Record<string, number>) => (name: string, x: Float32Array) =>
    [...x].map((v) => v * (1 + 10 ** (-dB[name]! / 20)));
  const a = { name: "a", model: chain(), runtime: fake(same) };
  const jump = async (dB: Record<string, number>) =>
    (await compare(a, { ...a, runtime: fake(at(dB)) }, { samples, values: "all" })).jump;
  expect(await jump(levels)).toMatchObject({
    name: "h2",
    op: "Relu",
    sqnrDb: expect.closeTo(15, 3),
    before: expect.closeTo(36, 3),
  });
  expect(await jump({ h0: 36, h1: 29, h2: 22, y: 15 })).toBeUndefined();
});

test("without samples, with an abort, and with no output in common it says so", async () => {
  const a = { name: "a", model: chain(), runtime: fake(same) };
  await expect(compare(a, a, { samples: samplesFrom([]) })).rejects.toMatchObject({ code: "report/no-samples" });
  await expect(compare(a, a, { samples, signal: AbortSignal.abort(new Error("stop")) })).rejects.toThrow("stop");
  const none = model(graph({ outputs: [], nodes: [] }));
  await expect(compare(a, { ...a, model: none }, { samples })).rejects.toMatchObject({ code: "report/outputs" });
});
