import {
  definePass,
  deriveTensor,
  edit,
  elementsOf,
  isPareError,
  type Model,
  PASS_API_VERSION,
  type Pass,
  type StandardSchemaV1,
  type Tensor,
  viewOf,
  weightsOf,
} from "@pare/core";
import { describe, expect, test } from "vitest";
import { boastingPass, deafPass, mutatingPass } from "./mutants.ts";
import { type PassLawOptions, passLaws } from "./pass-laws.ts";

const constants = (m: Model) => weightsOf(viewOf(m));

/** A schema by hand: `{ by?: number }`, strict. */
const schema: StandardSchemaV1<{ by?: number }, { by: number }> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate(input) {
      const { by = 0.5, ...rest } = input as { by?: number };
      const unknown = Object.keys(rest);
      return unknown.length > 0 ? { issues: [{ message: `unknown ${unknown}` }] } : { value: { by } };
    },
  },
};

const scale = definePass({
  name: "scale",
  apiVersion: PASS_API_VERSION,
  options: schema,
  run: (model, { by }, ctx) =>
    edit(model, (e) => {
      for (const w of e.weights()) {
        if (w.tensor.dtype !== "float32") ctx.skip(w, `is ${w.tensor.dtype}`);
        else {
          const map = (data: Float32Array) => data.map((v) => v * by);
          e.setWeight(w, deriveTensor(w.tensor as Tensor<"float32">, { key: `scale@1:${by}`, map }));
          ctx.done(w);
        }
      }
    }),
});

/** Subtracts the mean: a statistic of the whole tensor comes first. */
const center = definePass({
  name: "center",
  apiVersion: PASS_API_VERSION,
  run: (model, _, ctx) =>
    edit(model, (e) => {
      for (const w of e.weights()) {
        if (w.tensor.dtype !== "float32") continue;
        const made = deriveTensor(w.tensor as Tensor<"float32">, {
          key: "center@1",
          async prepare(chunks) {
            let sum = 0;
            let count = 0;
            for await (const { data } of chunks) {
              for (const v of data) sum += v;
              count += data.length;
            }
            return count ? sum / count : 0;
          },
          map: (data, mean) => data.map((v) => v - mean),
        });
        e.setWeight(w, made);
        ctx.done(w);
      }
    }),
});

/** Drops weights that are all zero to scalars, so it must look at them. */
const measuring = definePass({
  name: "measuring",
  apiVersion: PASS_API_VERSION,
  reads: "weights",
  async run(model, _, ctx) {
    const { signal } = ctx;
    for (const w of constants(model)) for await (const piece of elementsOf(w.tensor, signal)) void piece;
    return model;
  },
});

describe("honest passes keep every law", () => {
  for (const law of passLaws(scale, { options: { by: 0.25 } })) test(law.name, law.run);
  for (const law of passLaws(center, { prepares: true })) test(law.name, law.run);
  for (const law of passLaws(measuring, { idempotent: true })) test(law.name, law.run);
});

/** The laws that a pass breaks: name and code. */
async function broken(pass: Pass, options: PassLawOptions = {}): Promise<string[]> {
  const found: string[] = [];
  for (const law of passLaws(pass, options))
    try {
      await law.run();
    } catch (error) {
      if (!isPareError(error)) throw error;
      found.push(`${law.name.replace(/^[^:]*: /, "")} ${error.code}`);
    }
  return found;
}

describe("mutants are caught", () => {
  test("one that writes to what it was given", async () => {
    expect(await broken(mutatingPass())).toContain("leaves its input as it was testing/input-changed");
  });
  test("one that ignores abort", async () => {
    expect(await broken(deafPass(), { patience: 100 })).toEqual([
      "ends soon when it is aborted while it runs testing/abort-ignored",
    ]);
  });
  test("one that reports what it did not do", async () => {
    expect(await broken(boastingPass())).toEqual(["accounts for every candidate testing/coverage"]);
  });
  const base = center({});
  const variant = (name: string, run: Pass["run"], more: Partial<Pass> = {}) => ({ ...base, name, run, ...more });
  test("one that copies a model that it does not change", async () => {
    expect(await broken(variant("copies", (m) => ({ ...m })))).toEqual([
      "returns the very model when it changes nothing testing/same-content",
    ]);
  });
  test("one that reads early", async () => {
    const early = variant("early", async (m, ctx) => {
      for (const w of constants(m)) await w.tensor.read({ offset: 0, length: 4 }, ctx.signal);
      return m;
    });
    expect(await broken(early)).toEqual(["reads no large weight testing/early-read"]);
  });
  test("one that needs statistics and does not say so", async () => {
    expect(await broken(base, { hugeBytes: 2 ** 28 })).toEqual([
      "makes a weight that is larger than memory without holding it testing/read-budget",
    ]);
  });
  test("one that drops unknown operators, branches and functions", async () => {
    const drops = variant("drops", (m) => {
      const nodes = m.graph.nodes.map((n) =>
        n.domain === "acme" || n.op === "If" ? { ...n, domain: "", op: "Neg", attributes: new Map() } : n,
      );
      return nodes.some((n, i) => n !== m.graph.nodes[i]) ? { ...m, graph: { ...m.graph, nodes }, functions: [] } : m;
    });
    expect(await broken(drops)).toEqual(
      expect.arrayContaining([
        "leaves operators alone that it does not know testing/unknown-operator",
        "keeps subgraphs and functions testing/lost-graph",
      ]),
    );
  });
  test("one that draws at random", async () => {
    let n = 0;
    const random = variant("random", (m) => ({ ...m, metadata: new Map([["n", String(n++)]]) }));
    expect(await broken(random)).toContain("makes the same of the same testing/not-deterministic");
  });
  test("one that changes weights and keeps silent", async () => {
    const silent = variant("silent", (m, ctx) => base.run(m, { ...ctx, done: () => {} }));
    expect(await broken(silent, { prepares: true })).toEqual(["accounts for every candidate testing/coverage"]);
  });
});
