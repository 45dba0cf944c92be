import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { memorySource } from "@pare/core";
import { memorySink } from "@pare/io";
import { type OnnxDocument, openOnnx, readDocument, writeDocument, writeOnnx } from "@pare/onnx";
import type { BenchCase, BenchContext, Benchmark, BenchResult } from "../benchmark.ts";
import { readNodeTests, recordedRun } from "../node-tests.ts";
import { type Answer, feedsOf, type OrtTensor, ortEngine } from "../ort-engine.ts";

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
  /**
   * The same for models that went through the IR: upgraded, and written at the lowest opset that says the same. Engines may
   * add in another order there: differences of 2^-20 of the largest number are rounding, but not the same bits.
   */
  readonly sameAnswerThroughModel: number;
  readonly sameBitsThroughModel: number;
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
  const engine = ortEngine(new URL("./ort-child.js", import.meta.url), ctx.signal);
  const count = {
    total: 0,
    equal: 0,
    sameBytes: 0,
    ortRuns: 0,
    sameAnswer: 0,
    sameAnswerThroughModel: 0,
    sameBitsThroughModel: 0,
  };
  const cases: BenchCase[] = [];
  let notRun = 0;
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
      const inputs = feedsOf((await recordedRun(test)).inputs.values());
      if (!inputs) {
        notRun++;
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
      const expected = await engine.run(join(folder, "theirs.onnx"), inputs);
      if ("why" in expected) continue;
      count.ortRuns++;
      const document = otherAnswer(expected, await engine.run(ours[0]!, inputs));
      if (document === undefined) count.sameAnswer++;
      else note("other answer", document);
      if (ours.length < 2) continue;
      const answer = await engine.run(ours[1]!, inputs);
      const model = otherAnswer(expected, answer, true);
      if (model !== undefined) note("other answer through the model", model);
      else {
        count.sameAnswerThroughModel++;
        if (otherAnswer(expected, answer) === undefined) count.sameBitsThroughModel++;
      }
    }
  } finally {
    engine.end();
    await rm(folder, { recursive: true, force: true });
  }
  const notes = [`${notRun} models were not run: an input is no tensor`];
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

/** Bits, not numbers: NaN is NaN and -0 is not 0. */
function bits({ type, dims, data }: OrtTensor): string {
  const body = ArrayBuffer.isView(data) ? Buffer.from(canonical(data)).toString("base64") : JSON.stringify(data);
  return `${type} [${dims}] ${body}`;
}

/** All NaN are one. */
function canonical(data: ArrayBufferView): Uint8Array {
  if (data instanceof Float32Array || data instanceof Float64Array) {
    const copy = data.slice();
    for (let i = 0; i < copy.length; i++) if (Number.isNaN(copy[i])) copy[i] = Number.NaN;
    return new Uint8Array(copy.buffer);
  }
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Why an answer is not the one expected: in a bit, or, if `rounded`, by more than sums in another order differ. */
function otherAnswer(expected: Answer, found: Answer, rounded = false): string | undefined {
  if (!("outputs" in expected) || !("outputs" in found)) return "why" in found ? found.why : undefined;
  if (expected.outputs.size !== found.outputs.size) return "other outputs";
  for (const [name, t] of expected.outputs) {
    const other = found.outputs.get(name);
    if (!other) return `${name} is missing`;
    if (bits(t) !== bits(other) && !(rounded && isRounding(t, other))) return `${name} differs`;
  }
  return undefined;
}

/** 8 units in the last place of the largest number. */
const ROUNDING = 2 ** -20;

function isRounding(a: OrtTensor, b: OrtTensor): boolean {
  if (!(a.data instanceof Float32Array) || !(b.data instanceof Float32Array) || `${a.dims}` !== `${b.dims}`)
    return false;
  const other = b.data;
  const largest = a.data.reduce((m, v) => Math.max(m, Number.isFinite(v) ? Math.abs(v) : 0), 0);
  return a.data.every((v, i) => Object.is(v, other[i]) || Math.abs(v - other[i]!) <= ROUNDING * largest);
}

export const onnxRoundtripBenchmark: Benchmark = {
  name: "onnx-roundtrip",
  about: "ONNX node tests through reader and writer",
  run: async (ctx): Promise<BenchResult> => {
    const { figures, cases, notes } = await onnxRoundtrip(ctx);
    return { figures: { ...figures }, cases, notes };
  },
};
