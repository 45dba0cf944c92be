import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { seeded } from "@pare/ops/numeric";
import type { BenchCase, Benchmark } from "../benchmark.ts";

const script = fileURLToPath(new URL("./train-child.js", import.meta.url));

/**
 * Training killed with SIGKILL at a random moment and started again with the same command, against a run that nobody stopped:
 * the weights must be the same, bit for bit. The moments are seeded; what the machine makes of them is not.
 */
export const resume: Benchmark = {
  name: "resume",
  about: "training killed at random moments and resumed: the same weights, bit for bit, as an unbroken run",
  async run(ctx) {
    const folder = await mkdtemp(join(tmpdir(), "pare-resume-"));
    const random = seeded(Date.now());
    const cases: BenchCase[] = [];
    const runs = ctx.quick ? 2 : 10;
    try {
      const whole = await finish(start(ctx.data, join(folder, "whole"), ctx.signal));
      ctx.progress(`unbroken: ${whole.steps} steps`);
      for (let i = 0; i < runs; i++) {
        ctx.signal.throwIfAborted();
        const store = join(folder, `run${i}`);
        // From before the first step to after the last, and some milliseconds into it.
        const at = Math.floor(random() * (whole.steps + 1));
        const killed = await killAt(start(ctx.data, store, ctx.signal), at, random() * 60);
        const resumed = await finish(start(ctx.data, store, ctx.signal));
        const same = resumed.hash === whole.hash;
        cases.push({
          name: `${i + 1}`,
          killedAfter: killed,
          resumedSteps: resumed.steps,
          identical: same ? "yes" : "no",
        });
        ctx.progress(`${i + 1} of ${runs}: killed after step ${killed}, ${same ? "identical" : "DIFFERENT"}`);
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    const identical = cases.filter((c) => c["identical"] === "yes").length;
    return { figures: { runs, identical }, cases };
  },
};

const start = (data: string, store: string, signal: AbortSignal): ChildProcess =>
  spawn(process.execPath, [script, data, store], { stdio: ["ignore", "pipe", "inherit"], signal });

interface Run {
  readonly steps: number;
  readonly hash: string;
}

async function finish(child: ChildProcess): Promise<Run> {
  let [steps, hash] = [0, ""];
  for await (const line of createInterface({ input: child.stdout! })) {
    if (line.startsWith("step ")) steps++;
    if (line.startsWith("done ")) hash = line.slice(5);
  }
  if (hash === "") throw new Error("the run ended before it was done");
  return { steps, hash };
}

/** Kills the run some time after a step; gives the last step that it said. */
async function killAt(child: ChildProcess, step: number, afterMs: number): Promise<number> {
  let last = 0;
  const kill = () => setTimeout(() => child.kill("SIGKILL"), afterMs);
  if (step === 0) kill();
  for await (const line of createInterface({ input: child.stdout! })) {
    if (line.startsWith("step ")) last = Number(line.slice(5));
    if (last === step) kill();
  }
  return last;
}
