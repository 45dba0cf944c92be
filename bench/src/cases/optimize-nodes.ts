import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isPareError, type Model, type ResidentTensor, run } from "@pare/core";
import { openOnnx, writeOnnx } from "@pare/onnx";
import { optimize } from "@pare/optimize";
import { atolOf, valuesOf } from "../answers.ts";
import type { BenchCase, Benchmark } from "../benchmark.ts";
import { type RecordedRun, readNodeTests, recordedRun } from "../node-tests.ts";
import { type Answer, feedsOf, ortEngine } from "../ort-engine.ts";
import { difference, NOISE } from "./evaluate.ts";

/** How many inputs stay inputs; the others become weights, so that there is something to fold. */
const KEPT = [Number.POSITIVE_INFINITY, 1, 0];

export const optimizeNodes: Benchmark = {
  name: "optimize-nodes",
  about: "node tests optimized with inputs, with all but one frozen and with none: answers in ONNX Runtime",
  async run(ctx) {
    const folder = await mkdtemp(join(tmpdir(), "pare-optimize-nodes-"));
    const engine = ortEngine(new URL("./ort-child.js", import.meta.url), ctx.signal);
    const figures = { total: 0, right: 0, wrong: 0, neitherRuns: 0 };
    const cases: BenchCase[] = [];
    const answer = async (m: Model, feeds: NonNullable<ReturnType<typeof feedsOf>>): Promise<Answer> => {
      const path = join(folder, "model.onnx");
      await writeOnnx(m, path);
      return engine.run(path, feeds);
    };
    try {
      for (const [i, test] of readNodeTests(ctx).entries()) {
        ctx.signal.throwIfAborted();
        if (i % 100 === 0) ctx.progress(`${i} models`);
        if (test.random) continue;
        const recorded = await recordedRun(test);
        for (const keep of KEPT) {
          const given = await frozen(test.model, recorded, keep);
          if (!given) continue;
          const { model } = await run(optimize(), given.model);
          const [before, after] = [await answer(given.model, given.feeds), await answer(model, given.feeds)];
          figures.total++;
          const wrong = disagreement(before, after, recorded);
          if ("why" in before && "why" in after) figures.neitherRuns++;
          else if (wrong === undefined) figures.right++;
          else {
            figures.wrong++;
            cases.push({ name: test.name, inputs: given.feeds.length, wrong });
          }
        }
      }
    } finally {
      engine.end();
      await rm(folder, { recursive: true, force: true });
    }
    return { figures, cases };
  },
};

/** The model of a test with all inputs but the first few made weights; undefined where that is no other or cannot be. */
async function frozen(bytes: Uint8Array, { inputs }: RecordedRun, keep: number) {
  const names = [...inputs.keys()];
  if (keep < Number.POSITIVE_INFINITY && names.length <= keep) return undefined;
  const kept = names.slice(0, keep);
  const feeds = feedsOf(kept.map((name) => inputs.get(name)!));
  if (!feeds || !feedsOf(inputs.values())) return undefined;
  try {
    const { model } = await openOnnx(bytes);
    const weights = new Map(model.graph.weights);
    for (const name of names.slice(keep)) weights.set(name, inputs.get(name) as ResidentTensor);
    const rest = model.graph.inputs.filter((v) => !names.slice(keep).includes(v.name));
    return { feeds, model: { ...model, graph: { ...model.graph, inputs: rest, weights } } };
  } catch (error) {
    // Operators of the oldest opsets that have no successor.
    if (isPareError(error)) return undefined;
    throw error;
  }
}

/** What the result answers that neither its source does nor was recorded. */
function disagreement(before: Answer, after: Answer, { outputs }: RecordedRun): string | undefined {
  if ("why" in after) return `ONNX Runtime does not run it: ${after.why}`;
  const got = valuesOf(after);
  const other = (expected: RecordedRun["outputs"]) => {
    for (const [name, value] of expected) {
      const far = difference(got.get(name)!, value, atolOf(value, NOISE, 1e-5));
      if (far) return `${name}: ${far}`;
    }
    return undefined;
  };
  const wrong = other(outputs);
  return wrong !== undefined && ("why" in before || other(valuesOf(before)) !== undefined) ? wrong : undefined;
}
