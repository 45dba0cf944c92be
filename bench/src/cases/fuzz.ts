import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { atolOf, valuesOf } from "../answers.ts";
import type { BenchCase, BenchContext, Benchmark } from "../benchmark.ts";
import { minimise, minimiseBytes } from "../fuzz/minimise.ts";
import { type Reader, readers } from "../fuzz/readers.ts";
import { type Ending, fuzzWorker } from "../fuzz/worker.ts";
import { type NodeTest, readNodeTests, recordedRun } from "../node-tests.ts";
import { feedsOf, ortEngine } from "../ort-engine.ts";
import { difference, NOISE } from "./evaluate.ts";

const MUTANTS = 100_000;
const QUICK = 2000;
/** Where what fails is kept: `tests/regressions.test.ts` tries all of it. */
const KEPT = resolve("tests", "regressions");
/** Failures of one kind that are made small and kept; more are only counted. */
const MOST_KEPT = 10;

type Failure = "crashes" | "hangs" | "overMemory" | "contradicted";
const failures: Readonly<Record<string, Failure>> = { crash: "crashes", hang: "hangs", memory: "overMemory" };

export const fuzz: Benchmark = {
  name: "fuzz",
  about:
    "seeded mutants of real files through all readers: crashes, hangs, memory, answers that ONNX Runtime contradicts",
  async run(ctx) {
    const total = ctx.quick ? QUICK : MUTANTS;
    const all = readers(ctx.data);
    const tests = new Map(readNodeTests({ data: ctx.data, quick: false }).map((t) => [t.name, t]));
    const figures = {
      mutants: 0,
      crashes: 0,
      hangs: 0,
      overMemory: 0,
      contradicted: 0,
      refused: 0,
      written: 0,
      compared: 0,
    };
    const cases: BenchCase[] = [];
    const refusals = new Map<string, number>();
    let next = 0;

    const worker = async (n: number): Promise<void> => {
      const folder = await mkdtemp(join(tmpdir(), `pare-fuzz-${n}-`));
      const child = fuzzWorker(new URL("./fuzz-child.js", import.meta.url), ctx.data, folder, ctx.signal);
      const engine = ortEngine(new URL("./ort-child.js", import.meta.url), ctx.signal);
      try {
        for (let seed = next++; seed < total; seed = next++) {
          ctx.signal.throwIfAborted();
          if (seed % 500 === 0) ctx.progress(`${seed} of ${total} mutants, ${failed(figures)} failed`);
          const index = readerOf(
            all.map(([, share]) => share),
            seed,
          );
          const [reader] = all[index]!;
          const ending = await child.run({ reader: index, seed });
          figures.mutants++;
          let failure = failures[ending.outcome];
          let why = "error" in ending ? (ending.error ?? "") : "";
          if (ending.outcome === "refused") {
            figures.refused++;
            refusals.set(ending.code ?? "", (refusals.get(ending.code ?? "") ?? 0) + 1);
          }
          if (ending.outcome === "written") {
            figures.written++;
            const test = ending.test === undefined ? undefined : tests.get(ending.test);
            const verdict = test && (await contradiction(test, folder, reader, engine));
            if (verdict !== undefined) figures.compared++;
            if (verdict) {
              failure = "contradicted";
              why = verdict;
            }
          }
          if (!failure) continue;
          figures[failure]++;
          const about = "source" in ending ? `${ending.source} (${ending.how})` : "";
          const path = figures[failure] <= MOST_KEPT ? await keep(index, reader, failure, folder, child, ctx) : "";
          cases.push({
            name: `${reader.name} ${seed}`,
            what: failure,
            source: about,
            kept: path,
            why: firstLines(why),
          });
        }
      } finally {
        child.end();
        engine.end();
        await rm(folder, { recursive: true, force: true });
      }
    };
    await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, (_, n) => worker(n)));
    const common = [...refusals].sort(([, a], [, b]) => b - a).slice(0, 12);
    return {
      figures,
      cases,
      notes: [`Refused with ${common.map(([code, count]) => `${code} ${count}`).join(", ")}.`],
    };
  },
};

const failed = (f: Readonly<Record<Failure, number>>) => f.crashes + f.hangs + f.overMemory + f.contradicted;
const firstLines = (text: string) => text.split("\n").slice(0, 4).join(" | ").slice(0, 400);

/** Readers by turns in proportion to their shares. */
function readerOf(shares: readonly number[], seed: number): number {
  // The golden ratio spreads the turns evenly.
  let at = (seed * 0.618033988749895) % 1;
  for (const [i, share] of shares.entries()) {
    if (at < share) return i;
    at -= share;
  }
  return 0;
}

/**
 * What ONNX Runtime says against a result: it runs the mutant, and runs the result not at all or to another answer. Empty
 * when it agrees, undefined when it does not run the mutant either.
 */
async function contradiction(
  test: NodeTest,
  folder: string,
  { extension }: Reader,
  engine: ReturnType<typeof ortEngine>,
): Promise<string | undefined> {
  const { inputs } = await recordedRun(test);
  const feeds = feedsOf(inputs.values());
  if (!feeds) return undefined;
  const before = await engine.run(join(folder, `mutant.${extension}`), feeds);
  if ("why" in before) return undefined;
  const after = await engine.run(join(folder, `result.${extension}`), feeds);
  if ("why" in after) return `ONNX Runtime does not run the result: ${after.why}`;
  const got = valuesOf(after);
  for (const [name, value] of valuesOf(before)) {
    const other = got.get(name);
    if (!other) return `the output ${name} is missing`;
    const wrong = difference(other, value, atolOf(value, NOISE, 1e-5));
    if (wrong) return `${name}: ${wrong}`;
  }
  return "";
}

/** Makes what failed smaller, keeps it as a case of the regression tests, and gives its name. */
async function keep(
  index: number,
  reader: Reader,
  failure: Failure,
  folder: string,
  child: ReturnType<typeof fuzzWorker>,
  { signal }: BenchContext,
): Promise<string> {
  let bytes = new Uint8Array(readFileSync(join(folder, `mutant.${reader.extension}`)));
  const isSame = async (b: Uint8Array) => {
    signal.throwIfAborted();
    return failures[((await child.run({ reader: index, bytes: b })) as Ending).outcome] === failure;
  };
  // An answer that is wrong is kept as it is: who makes it smaller needs its inputs.
  if (failure === "crashes" && (await isSame(bytes))) {
    try {
      const { decode, encode } = reader.structure!;
      const message = await decode(bytes);
      let smallest = bytes;
      await minimise(message, async () => {
        const smaller = await encode(message).catch(() => undefined);
        if (!smaller || !(await isSame(smaller))) return false;
        smallest = new Uint8Array(smaller);
        return true;
      });
      bytes = smallest;
    } catch {
      bytes = new Uint8Array(await minimiseBytes(bytes, isSame));
    }
  }
  mkdirSync(KEPT, { recursive: true });
  const name = `${failure}-${createHash("sha256").update(bytes).digest("hex").slice(0, 10)}.${reader.extension}`;
  writeFileSync(join(KEPT, name), bytes);
  return name;
}
