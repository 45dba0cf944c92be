import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { watchMemory } from "./memory.ts";

/** The `pare` command as it is installed. */
export const pareCommand = (): string =>
  join(dirname(createRequire(import.meta.url).resolve("pare/package.json")), "dist", "cli.js");

export interface Ran {
  readonly seconds: number;
  readonly peakMB: number;
  readonly stdout: string;
}

/** Runs a Node script to its end, and says how long it took and what memory it and its children took at most. */
export async function runScript(script: string, args: readonly string[], signal: AbortSignal): Promise<Ran> {
  signal.throwIfAborted();
  const started = performance.now();
  const child = spawn(process.execPath, [script, ...args], { stdio: ["ignore", "pipe", "pipe"], signal });
  const stop = watchMemory(child.pid!);
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr = (stderr + chunk.toString()).slice(-4000);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  const peakMB = stop();
  if (code !== 0) throw new Error(`${script} ${args.join(" ")} ended with ${code}:\n${stderr}`);
  return { seconds: (performance.now() - started) / 1000, peakMB, stdout };
}

export const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!;
