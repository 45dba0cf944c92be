import type { Progress } from "@pare/core";
import { formatBytes } from "@pare/report";
import type { Ora } from "ora";
import type { Io } from "../io.ts";

export interface ProgressView {
  readonly onProgress: (p: Progress) => void;
  /** Leaves the terminal as it was. */
  stop(): void;
}

const PLAIN_EVERY_MS = 5000;
const WIDTH = 24;

/** A bar on a terminal, a line now and then in a pipe or a log, nothing when `quiet`. All on stderr. */
export async function showProgress(io: Io, quiet = false): Promise<ProgressView> {
  if (quiet) return { onProgress() {}, stop() {} };
  // Some terminals say that they have no columns: nothing can be drawn there.
  return io.stderr.isTTY && io.stderr.columns ? bar(io, io.stderr.columns) : plain(io);
}

async function bar(io: Io, columns: number): Promise<ProgressView> {
  const { default: ora } = await import("ora");
  let spinner: Ora | undefined;
  return {
    onProgress(p) {
      // Ctrl-C is the program's own to handle, and nobody types.
      spinner ??= ora({ stream: io.stderr as NodeJS.WriteStream, discardStdin: false, hideCursor: false }).start();
      spinner.text = barText(p).slice(0, Math.max(0, columns - 4));
    },
    stop() {
      spinner?.stop();
    },
  };
}

export function barText({ task, done, total, unit }: Progress): string {
  const amount = (n: number) => (unit === "bytes" ? formatBytes(n) : String(n));
  if (!total) return `${task}  ${amount(done)}${unit === "bytes" ? "" : ` ${unit}`}`;
  const share = Math.max(0, Math.min(1, done / total));
  const full = Math.round(share * WIDTH);
  return `${task}  ${"█".repeat(full)}${"░".repeat(WIDTH - full)}  ${Math.floor(share * 100)} %  ${amount(done)} of ${amount(total)}${unit === "bytes" ? "" : ` ${unit}`}`;
}

function plain(io: Io): ProgressView {
  let task = "";
  let last = 0;
  return {
    onProgress(p) {
      const now = performance.now();
      if (p.task === task && now - last < PLAIN_EVERY_MS) return;
      const percent = p.total ? `: ${Math.floor((100 * p.done) / p.total)} %` : "";
      io.stderr.write(`${p.task}${p.task === task ? percent : ""}\n`);
      task = p.task;
      last = now;
    },
    stop() {},
  };
}
