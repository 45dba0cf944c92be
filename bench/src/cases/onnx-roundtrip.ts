import { type ChildProcess, fork } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { memorySource, type ResidentTensor, storageView } from "@pare/core";
import { stringsOf } from "@pare/core/strings";
import { memorySink } from "@pare/io";
import { type OnnxDocument, openOnnx, readDocument, writeDocument, writeOnnx } from "@pare/onnx";
import type { BenchCase, BenchContext, Benchmark, BenchResult } from "../benchmark.ts";
import { type NodeTest, readNodeTests, recordedRun } from "../node-tests.ts";
import type { Job, Reply } from "./onnx-roundtrip-child.ts";

/** A test of which ONNX Runtime says nothing for this long does not run. */
const PATIENCE_MS = 60_000;

export interface RoundtripFigures {
  readonly total: number;
  /** Models that are field for field what they were, after reader and writer. */
  readonly equal: number;
  /** Of those, models of which even the bytes are the same. */
  readonly sameBytes: number;
  /** Models of the archive that ONNX Runtime loads and runs on the recorded inputs. */
  readonly ortRuns: number;
  /** Of these, models that it answers, bit for bit, as we wrote them. */
  readonly sameAnswer: number;
  /** The same for models that went through the IR: upgraded, and written at the lowest opset that says the same. */
  readonly sameAnswerThroughModel: number;
}

export interface RoundtripResult {
  readonly figures: RoundtripFigures;
  /** Everything that was not as it should be. */
  readonly cases: readonly BenchCase[];
  readonly notes: readonly string[];
}

/**
 * Sends the ONNX node tests through reader and writer and, where ONNX Runtime runs them, compares its answers on the
 * recorded inputs bit for bit (NaN equals NaN).
 */
export async function onnxRoundtrip(
  ctx: Omit<BenchContext, "signal"> & { signal?: AbortSignal },
): Promise<RoundtripResult> {
  const tests = readNodeTests(ctx);
  const folder = await mkdtemp(join(tmpdir(), "pare-roundtrip-"));
  const engine = makeEngine(ctx.signal);
  const count = { total: 0, equal: 0, sameBytes: 0, ortRuns: 0, sameAnswer: 0, sameAnswerThroughModel: 0 };
  const cases: BenchCase[] = [];
  const refusals = new Map<string, number>();
  try {
    for (const test of tests) {
      ctx.signal?.throwIfAborted();
      if (count.total % 100 === 0) ctx.progress(`${count.total} of ${tests.length} models`);
      count.total++;
      const { name, model: theirs } = test;
      const note = (what: string, why: string) => cases.push({ name, what, why });
      let doc: OnnxDocument;
      const ours = [join(folder, "document.onnx")];
      try {
        doc = await readDocument(memorySource(theirs, `${name}/model.onnx`));
        const sink = memorySink();
        await writeDocument(doc, sink, "model.onnx");
        const written = sink.files.get("model.onnx")!;
        await writeFile(ours[0]!, written);
        if (isDeepStrictEqual(await whole(doc), await whole(await readDocument(memorySource(written))))) count.equal++;
        else note("not equal", "after reader and writer");
        if (Buffer.compare(written, theirs) === 0) count.sameBytes++;
      } catch (error) {
        note("not equal", String(error));
        continue;
      }
      if (test.random) continue;
      const inputs = await inputsOf(test);
      if (typeof inputs === "string") {
        refusals.set(inputs, (refusals.get(inputs) ?? 0) + 1);
        continue;
      }
      try {
        const source = await openOnnx(theirs);
        await writeOnnx(source.model, join(folder, "model.onnx"));
        ours.push(join(folder, "model.onnx"));
      } catch (error) {
        note("not through the model", String(error));
      }
      await writeFile(join(folder, "theirs.onnx"), theirs);
      const verdict = await engine.run({ theirs: join(folder, "theirs.onnx"), ours, inputs });
      if (!verdict.runs) continue;
      count.ortRuns++;
      const [document, model] = verdict.ours;
      if (document?.same) count.sameAnswer++;
      else note("other answer", document?.why ?? "the engine crashed");
      if (model?.same) count.sameAnswerThroughModel++;
      else if (ours.length > 1) note("other answer through the model", model?.why ?? "the engine crashed");
    }
  } finally {
    engine.end();
    await rm(folder, { recursive: true, force: true });
  }
  const notes = [...refusals].map(([why, n]) => `${n} models were not run: ${why}`);
  return { figures: count, cases, notes };
}

/** A document with all data in memory. */
async function whole(value: unknown): Promise<unknown> {
  if (ArrayBuffer.isView(value) || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return Promise.all(value.map(whole));
  const stored = value as {
    byteLength?: number;
    read?: (range: { offset: number; length: number }) => Promise<Uint8Array>;
  };
  if (stored.read) return new Uint8Array(await stored.read({ offset: 0, length: stored.byteLength! }));
  const entries = await Promise.all(Object.entries(value).map(async ([k, v]) => [k, await whole(v)] as const));
  return Object.fromEntries(entries);
}

/** The recorded inputs as the engine's binding takes them, or why it does not. */
async function inputsOf(test: NodeTest): Promise<Job["inputs"] | string> {
  const inputs: Job["inputs"][number][] = [];
  for (const t of (await recordedRun(test)).inputs.values()) {
    if (!t || !("dtype" in t)) return "an input is no tensor";
    inputs.push({ type: t.dtype, dims: t.shape, data: dataFor(t) });
  }
  return inputs;
}

function dataFor(t: ResidentTensor): unknown {
  if (t.dtype === "string") return stringsOf(t as ResidentTensor<"string">).map((s) => new TextDecoder().decode(s));
  return storageView(t.dtype, t.bytes.slice());
}

interface Verdict {
  readonly runs: boolean;
  readonly ours: { same: boolean; why: string }[];
}

/** A child that runs models, started again after each crash. */
function makeEngine(signal?: AbortSignal) {
  const script = fileURLToPath(new URL("./onnx-roundtrip-child.js", import.meta.url));
  let child: ChildProcess | undefined;
  let id = 0;
  const start = () => {
    const made = fork(script, {
      serialization: "advanced",
      stdio: ["ignore", "ignore", "ignore", "ipc"],
      ...(signal ? { signal } : {}),
    });
    // An abort; the loop meets it too.
    made.on("error", () => {});
    return made;
  };
  return {
    end: () => child?.kill(),
    run(job: Omit<Job, "id">): Promise<Verdict> {
      const current = (child ??= start());
      const mine = ++id;
      return new Promise((resolve) => {
        const verdict = { runs: false, ours: [] as { same: boolean; why: string }[] };
        const finish = () => {
          clearTimeout(timer);
          current.off("message", hear).off("exit", gone);
          resolve(verdict);
        };
        const gone = () => {
          child = undefined;
          finish();
        };
        const timer = setTimeout(() => current.kill("SIGKILL"), PATIENCE_MS);
        const hear = (reply: Reply) => {
          if (reply.id !== mine) return;
          if ("theirs" in reply) verdict.runs = reply.theirs;
          else verdict.ours[reply.ours] = { same: reply.same, why: reply.why };
          if (("theirs" in reply && !reply.theirs) || verdict.ours.length === job.ours.length) finish();
        };
        current.on("message", hear).once("exit", gone);
        current.send({ ...job, id: mine });
      });
    },
  };
}

export const onnxRoundtripBenchmark: Benchmark = {
  name: "onnx-roundtrip",
  about: "ONNX node tests through reader and writer",
  run: async (ctx): Promise<BenchResult> => {
    const { figures, cases, notes } = await onnxRoundtrip(ctx);
    return { figures: { ...figures }, cases, notes };
  },
};
