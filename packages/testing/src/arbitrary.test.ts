import { definePass, deriveTensor, edit, PASS_API_VERSION, type Tensor, verify, viewOf } from "@pare/core";
import { parse } from "@pare/core/parse";
import { print } from "@pare/core/print";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { arbitraryModel } from "./arbitrary.ts";
import { contentOf } from "./content.ts";
import { lawModels } from "./models.ts";
import { passLaws } from "./pass-laws.ts";

test("generated models and the models of the laws are well formed", () => {
  for (const m of Object.values(lawModels())) expect(verify(m)).toEqual([]);
  const ops = new Set<string>();
  let branches = 0;
  fc.assert(
    fc.property(arbitraryModel(), (m) => {
      expect(verify(m)).toEqual([]);
      for (const v of viewOf(m).graphs) {
        if (v.parent) branches++;
        for (const n of v.graph.nodes) ops.add(n.op);
      }
    }),
    { seed: 1, numRuns: 200 },
  );
  expect(branches).toBeGreaterThan(50);
  expect([...ops]).toEqual(
    expect.arrayContaining(["Conv", "MatMul", "If", "Constant", "FusedGelu", "Swish", "BatchNormalization", "Cast"]),
  );
});

test("a model as text reads back, and prints the same again", () => {
  fc.assert(
    fc.property(arbitraryModel(), (m) => {
      const text = print(m, { elements: 4096 });
      const again = parse(text);
      expect(print(again, { elements: 4096 })).toBe(text);
      expect(verify(again)).toEqual([]);
    }),
    { seed: 2, numRuns: 100 },
  );
});

test("content tells models apart and finds equal ones equal", async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryModel(), async (m) => {
      expect(await contentOf(parse(print(m, { elements: 4096 })))).toBe(
        await contentOf(parse(print(m, { elements: 4096 }))),
      );
      for (const w of m.graph.weights) {
        const bytes = Uint8Array.from(w[1].bytes!);
        if (bytes.length === 0) continue;
        bytes[bytes.length - 1]! ^= 1;
        const other = deriveTensor(w[1], { key: "flip", map: (data) => data });
        expect(await contentOf(withWeight(m, w[0], other))).toBe(await contentOf(m));
        const changed = { ...w[1], bytes, read: async () => bytes };
        expect(await contentOf(withWeight(m, w[0], changed))).not.toBe(await contentOf(m));
      }
    }),
    { seed: 3, numRuns: 20 },
  );
});
const withWeight = (m: ReturnType<typeof parse>, name: string, t: Tensor) => ({
  ...m,
  graph: { ...m.graph, weights: new Map([...m.graph.weights, [name, t] as const]) },
});

const halve = definePass({
  name: "halve",
  apiVersion: PASS_API_VERSION,
  run: (model, _, ctx) =>
    edit(model, (e) => {
      for (const w of e.weights({ ops: ["Conv", "MatMul", "Gemm"] })) {
        e.setWeight(
          w,
          deriveTensor(w.tensor as Tensor<"float32">, { key: "halve@1", map: (data) => data.map((v) => v / 2) }),
        );
        ctx.done(w);
      }
    }),
});
const generated = () =>
  Object.fromEntries(fc.sample(arbitraryModel(), { seed: 5, numRuns: 15 }).map((m, i) => [`generated ${i}`, m]));
for (const law of passLaws(halve, { models: generated })) test(law.name, law.run);
