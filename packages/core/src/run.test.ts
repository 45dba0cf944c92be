import { describe, expect, test, vi } from "vitest";
import {
  definePass,
  edit,
  isPareError,
  PASS_API_VERSION,
  type Pass,
  pipeline,
  run,
  type StandardSchemaV1,
  samplesFrom,
  takeSamples,
  tensor,
} from "./index.ts";
import { parse } from "./parse.ts";

const code = (expected: string) => expect.objectContaining({ code: expected });
const m = parse("main (x) => (y) { w: float32[1] = {1}  v: int8[1] = {2}  a = Add(x, w)  y = Add(a, v) }");
const schema: StandardSchemaV1<{ by?: number }, { by: number }> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (input) => {
      const { by = 2 } = input as { by?: number };
      return typeof by === "number"
        ? { value: { by } }
        : { issues: [{ message: "is no number", path: ["by", { key: 0 }] }, { message: "is odd" }] };
    },
  },
};
const scale = definePass({
  name: "scale",
  apiVersion: PASS_API_VERSION,
  options: schema,
  run: (model, { by }, ctx) =>
    edit(model, (e) => {
      for (const w of e.weights())
        if (w.tensor.dtype !== "float32") ctx.skip(w, `is ${w.tensor.dtype}`);
        else {
          e.setWeight(w, tensor("float32", [1], [by]));
          ctx.done(w, { by });
        }
    }),
});
const pass = (name: string, run: Pass["run"], more: Partial<Pass> = {}): Pass => ({
  name,
  apiVersion: PASS_API_VERSION,
  options: {},
  needs: [],
  run,
  ...more,
});

test("options have defaults, and all that is wrong with them is said at once", () => {
  expect(scale().options).toEqual({ by: 2 });
  expect(() => scale({ by: "x" as never })).toThrow(/by: 0: is no number[\s\S]*is odd/);
  const plain = definePass({ name: "plain", apiVersion: 1, run: (model) => model });
  expect(plain().options).toEqual({});
  expect(() => (plain as (o: unknown) => Pass)({ a: 1 })).toThrow(code("core/options"));
});

test("a run reports what was done, what was left alone and why", async () => {
  const { model, report } = await run([scale({ by: 3 }), pass("nothing", (model) => model)], m);
  expect(model).not.toBe(m);
  expect(report.passes.map(({ milliseconds, ...rest }) => rest)).toEqual([
    {
      pass: "scale",
      options: { by: 3 },
      changed: true,
      done: [{ name: "w", ops: ["Add"], facts: { by: 3 } }],
      skipped: [{ name: "v", ops: ["Add"], reason: "is int8" }],
      diagnostics: [],
    },
    { pass: "nothing", options: {}, changed: false, done: [], skipped: [], diagnostics: [] },
  ]);
  expect(`${report}`).toBe("scale: 1 of 2 done\n  left alone: v: is int8\nnothing: nothing to do");
});

test("a pipeline is a pass whose steps are reported one by one", async () => {
  const both = pipeline("both", [scale(), pipeline("inner", [scale({ by: 5 })])]);
  const { report } = await run(both, m);
  expect(report.passes.map((p) => p.options)).toEqual([{ by: 2 }, { by: 5 }]);
});

describe("a run that cannot be", () => {
  test("names all needs that are not met before anything runs", async () => {
    const ran = vi.fn((model) => model);
    const error = await run(
      [pass("a", ran, { needs: ["runtime", "samples"] }), pass("b", ran, { apiVersion: 99 })],
      m,
    ).catch((e) => e);
    expect(
      error.diagnostics.map((d: { code: string; location: { pass: string } }) => `${d.location.pass} ${d.code}`),
    ).toEqual(["a core/needs", "a core/needs", "b core/api-version"]);
    expect(ran).not.toHaveBeenCalled();
  });
  test("is refused where a pass makes a model that is not well formed, with the pass named and the model before it", async () => {
    const onFailure = vi.fn();
    const bad = pass("bad", (model) => ({ ...model, graph: { ...model.graph, nodes: [] } }));
    const error = await run([scale(), bad], m, { onFailure }).catch((e) => e);
    expect(error).toEqual(code("core/undefined-value"));
    expect(error.diagnostics[0].location.pass).toBe("bad");
    expect(onFailure.mock.calls[0]![0]).toMatchObject({ pass: "bad", error: expect.anything() });
  });
  test("names the pass that threw something else", async () => {
    const error = await run(
      pass("bad", () => Promise.reject(new TypeError("oops"))),
      m,
    ).catch((e) => e);
    expect(isPareError(error)).toBe(true);
    expect(error.message).toMatch(/core\/pass-failed: TypeError: oops \(pass bad\)/);
  });
  test("rejects with the signal's reason, before and while it runs", async () => {
    const reason = new Error("enough");
    await expect(run(scale(), m, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const aborting = pass("aborting", () => {
      controller.abort(reason);
      throw new Error("something else, because of it");
    });
    await expect(run(aborting, m, { signal: controller.signal })).rejects.toBe(reason);
  });
});

test("statistics that a pass observes are gathered for it", async () => {
  const gather = vi.fn(async () => new Map([["a", tensor("float32", [], [7])]]));
  let seen: unknown;
  const observing = pass("observing", (model, ctx) => ((seen = ctx.statistics.get("a")?.bytes), model), {
    observe: () => [{ values: ["a"], statistic: "absmax" }],
  });
  await run(observing, m, { gather });
  expect(gather).toHaveBeenCalledOnce();
  expect(seen).toEqual(new Uint8Array(Float32Array.of(7).buffer));
});

test("samples can be opened again, and a spent iterator is refused", async () => {
  const values = [1, 2, 3].map((v) => ({ x: tensor("float32", [], [v]) }));
  const all = samplesFrom(async function* () {
    yield* values;
  });
  const read = async (s: typeof all) => {
    const list = [];
    for await (const sample of s.open()) list.push(sample);
    return list;
  };
  expect(await read(all)).toEqual(values);
  expect(await read(takeSamples(all, 2))).toEqual(values.slice(0, 2));
  expect(await read(takeSamples(samplesFrom(values), 0))).toEqual([]);
  expect(takeSamples(samplesFrom(values), 9).count).toBe(3);
  expect(() => samplesFrom(values.values() as never)).toThrow(code("core/samples-once"));
});
