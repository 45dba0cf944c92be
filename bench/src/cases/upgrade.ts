import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { IR_OPSET, isPareError, type Model } from "@pare/core";
import { downgrade, openOnnx, upgrade, writeOnnx } from "@pare/onnx";
import { type AnyValue, evaluateValues } from "@pare/ops/evaluate";
import { atolOf, valuesOf } from "../answers.ts";
import type { BenchCase, Benchmark } from "../benchmark.ts";
import { generatedCases } from "../generated.ts";
import { readNodeTests, recordedRun } from "../node-tests.ts";
import { type Answer, feedsOf, ortEngine } from "../ort-engine.ts";
import { difference, NO_ANSWER, NOISE, NOISY } from "./evaluate.ts";

/** The newest opset that ONNX Runtime loads, and those that models are brought down to. */
const NEWEST = 26;
const TARGETS = [17, 21] as const;

/** A model of an old opset with what it gives: recorded, or by ONNX Runtime at that opset. */
interface Subject {
  readonly name: string;
  readonly opset: number;
  readonly model: Model;
  readonly inputs: ReadonlyMap<string, AnyValue>;
  readonly outputs: ReadonlyMap<string, AnyValue>;
  /** What ONNX Runtime says of the file as it was. */
  readonly original: Answer | undefined;
  readonly atol: number;
}

/** How many of one opset; `ort` and `to…` count what ran and was right there. */
interface Counts {
  total: number;
  right: number;
  wrong: number;
  ort: number;
  to17: number;
  to21: number;
}

const none = (): Counts => ({ total: 0, right: 0, wrong: 0, ort: 0, to17: 0, to21: 0 });

export const upgradeBenchmark: Benchmark = {
  name: "upgrade",
  about: "node tests and generated models of old opsets: upgraded, written, downgraded; evaluator and ONNX Runtime",
  async run(ctx) {
    const folder = await mkdtemp(join(tmpdir(), "pare-upgrade-"));
    const engine = ortEngine(new URL("./ort-child.js", import.meta.url), ctx.signal);
    const byOpset = new Map<number, Counts>();
    const figures = { ...none(), generated: 0, notAnswered: 0, refused17: 0, refused21: 0 };
    const problems: BenchCase[] = [];

    /** What ONNX Runtime gives; undefined where it takes no such inputs or opset. */
    const runs = async (model: Model, inputs: Subject["inputs"]): Promise<Answer | undefined> => {
      const feeds = feedsOf(inputs.values());
      if (!feeds) return undefined;
      const path = join(folder, "model.onnx");
      await writeOnnx(model, path);
      const { opset, close } = await openOnnx(path, { upgrade: false });
      await close();
      return opset > NEWEST ? undefined : engine.run(path, feeds);
    };

    const judge = async (s: Subject): Promise<void> => {
      const current = upgraded(s);
      const known = current && (await evaluated(current, s, ctx.signal));
      if (!current || known === "no rule") {
        figures.notAnswered++;
        return;
      }
      const counts = byOpset.get(s.opset) ?? none();
      byOpset.set(s.opset, counts);
      const wrong: string[] = [];
      if (known) wrong.push(`upgraded: ${known}`);
      const written = verdictOf(s, await runs(current, s.inputs));
      if (written === "right") counts.ort++;
      else if (written) wrong.push(`in ONNX Runtime: ${written}`);
      for (const target of TARGETS) {
        const low = lowered(current, target);
        if (!low) {
          figures[`refused${target}`]++;
          continue;
        }
        const other = await evaluated(upgrade(low), { ...s, atol: Math.max(s.atol, NOISE) }, ctx.signal);
        const verdict = verdictOf(s, await runs(low, s.inputs));
        if (other) wrong.push(`downgraded to ${target}: ${other}`);
        else if (verdict && verdict !== "right") wrong.push(`in ONNX Runtime at ${target}: ${verdict}`);
        else counts[`to${target}`]++;
      }
      counts.total++;
      if (wrong.length === 0) counts.right++;
      else counts.wrong++;
      for (const why of wrong) problems.push({ name: s.name, what: `opset ${s.opset}`, why });
    };

    try {
      const tests = readNodeTests(ctx);
      for (const [i, test] of tests.entries()) {
        ctx.signal.throwIfAborted();
        if (i % 100 === 0) ctx.progress(`${i} of ${tests.length} models`);
        const { model, opset } = await openOnnx(test.model, { upgrade: false });
        if (test.random || opset >= IR_OPSET || opset === 0) continue;
        const run = await recordedRun(test);
        const original = await runs(model, run.inputs);
        const atol = NOISY.has(test.name) ? NOISE : 1e-7;
        await judge({ name: test.name, opset, model, ...run, original, atol });
      }
      const generated = generatedCases(ctx.quick ? 3 : 12);
      for (const [i, { name, opset, model, inputs: given }] of generated.entries()) {
        ctx.signal.throwIfAborted();
        if (i % 100 === 0) ctx.progress(`${i} of ${generated.length} generated models`);
        const inputs = new Map(Object.entries(given));
        const original = await runs(model, inputs);
        if (!original || "why" in original) throw new Error(`ONNX Runtime does not run ${name}: ${original?.why}`);
        figures.generated++;
        await judge({ name, opset, model, inputs, outputs: valuesOf(original), original, atol: NOISE });
      }
    } finally {
      engine.end();
      await rm(folder, { recursive: true, force: true });
    }
    for (const counts of byOpset.values())
      for (const key of Object.keys(counts) as (keyof Counts)[]) figures[key] += counts[key];
    const versions = [...byOpset].sort(([a], [b]) => a - b).map(([opset, c]) => ({ name: `opset ${opset}`, ...c }));
    return {
      figures,
      cases: [...versions, ...problems],
      notes: [
        "refused17 and refused21 count models that have an operator or element type which that opset has no words for.",
      ],
    };
  },
};

/** The model at the IR's opset; undefined where an operator has no successor. */
function upgraded({ model }: Subject): Model | undefined {
  try {
    return upgrade(model);
  } catch (error) {
    if (isPareError(error) && NO_ANSWER.has(error.code)) return undefined;
    throw error;
  }
}

function lowered(model: Model, opset: number): Model | undefined {
  try {
    return downgrade(model, opset);
  } catch (error) {
    if (isPareError(error) && error.code === "onnx/opset-too-low") return undefined;
    throw error;
  }
}

/** What the evaluator gives that was not recorded, in a sentence; undefined where all is. */
async function evaluated(model: Model, s: Subject, signal: AbortSignal): Promise<string | undefined> {
  try {
    const got = await evaluateValues(model, s.inputs, { signal });
    for (const [name, recorded] of s.outputs) {
      const other = difference(got.get(name)!, recorded, atolOf(recorded, s.atol));
      if (other) return `${name}: ${other}`;
    }
    return undefined;
  } catch (error) {
    if (isPareError(error) && NO_ANSWER.has(error.code)) return "no rule";
    return String(error);
  }
}

/** Engines add float32 in the order they like. */
const ENGINE = 1e-5;

/**
 * Whether ONNX Runtime gives what was recorded, or what it gave for the file as it was; undefined where it runs neither.
 */
function verdictOf(s: Subject, answer: Answer | undefined): string | undefined {
  const before = s.original && "outputs" in s.original ? valuesOf(s.original) : undefined;
  if (!answer || "why" in answer) return answer && before ? answer.why : undefined;
  const got = valuesOf(answer);
  const other = (expected: Subject["outputs"]) => {
    for (const [name, value] of expected) {
      const wrong = difference(got.get(name)!, value, atolOf(value, s.atol, ENGINE));
      if (wrong) return `${name}: ${wrong}`;
    }
    return undefined;
  };
  const wrong = other(s.outputs);
  return wrong === undefined || (before && other(before) === undefined) ? "right" : wrong;
}
