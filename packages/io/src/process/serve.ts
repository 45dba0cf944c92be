import { readSync, rmSync, writeSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { type Diagnostic, isPareError } from "@pare/core";
import { type Frame, frameHead, headerLength, parseHeader } from "./frame.ts";

const PIPE = 3;
const LARGE = 32 << 20;

/** Fills `target`; false at the end of the stream. */
function readFully(target: Uint8Array): boolean {
  for (let at = 0; at < target.length; ) {
    const length = waiting(() => readSync(PIPE, target, at, Math.min(target.length - at, 1 << 26), null));
    if (length === 0) return false;
    at += length;
  }
  return true;
}

function writeFully(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; )
    at += waiting(() => writeSync(PIPE, bytes, at, Math.min(bytes.length - at, 1 << 26)));
}

function waiting(work: () => number): number {
  for (;;)
    try {
      return work();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EOF") return 0;
      if (code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
}

function readFrame(): Frame | undefined {
  const prefix = new Uint8Array(4);
  if (!readFully(prefix)) return undefined;
  const header = new Uint8Array(headerLength(prefix));
  if (!readFully(header)) return undefined;
  const { body, lengths } = parseHeader(header);
  const parts: Uint8Array[] = [];
  for (const length of lengths) {
    const part = new Uint8Array(length);
    if (!readFully(part)) return undefined;
    parts.push(part);
  }
  return { body, parts };
}

function writeFrame(frame: Frame): void {
  writeFully(frameHead(frame));
  for (const part of frame.parts) writeFully(part);
}

/** What an engine answers to a request: JSON, and bytes beside it. */
export interface Answer {
  readonly ok: unknown;
  readonly parts?: readonly Uint8Array[];
}

/**
 * The life of an engine's process: answers one request at a time on descriptor 3 and ends with its parent. What `answer`
 * throws is the answer, as diagnostics; what is no PareError gets the code `fallback`.
 */
export async function serve(
  answer: (request: unknown, parts: readonly Uint8Array[]) => Promise<Answer>,
  fallback: string,
): Promise<never> {
  const folder = process.argv[2];
  // The parent decides when this process ends: Ctrl-C goes to both, and the parent may have work to finish.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
  watchParent(folder);
  const diagnosticsOf = (error: unknown): readonly Diagnostic[] =>
    isPareError(error)
      ? error.diagnostics
      : [{ code: fallback, severity: "error", message: error instanceof Error ? error.message : String(error) }];
  for (let frame: Frame | undefined; (frame = readFrame()); ) {
    const reply = await answer(frame.body, frame.parts).then(
      ({ ok, parts = [] }): Frame => ({ body: { ok }, parts }),
      (error): Frame => ({ body: { error: diagnosticsOf(error) }, parts: [] }),
    );
    writeFrame(reply);
    // Tensors are outside of the heap: the collector would let several runs of large ones pile up.
    if ([...frame.parts, ...reply.parts].reduce((n, p) => n + p.byteLength, 0) > LARGE) globalThis.gc?.();
  }
  if (folder) rmSync(folder, { recursive: true, force: true });
  process.kill(process.pid, "SIGKILL");
  throw new Error("ended");
}

/** While a run blocks this thread nobody reads the pipe, so that another thread looks whether the parent is there. */
function watchParent(folder: string | undefined): void {
  new Worker(
    `const { parent, folder } = require("node:worker_threads").workerData;
     setInterval(() => {
       if (process.ppid === parent) {
         try { process.kill(parent, 0); return; } catch (error) { if (error.code !== "ESRCH") return; }
       }
       if (folder) try { require("node:fs").rmSync(folder, { recursive: true, force: true }); } catch {}
       process.kill(process.pid, "SIGKILL");
     }, 500);`,
    { eval: true, workerData: { parent: process.ppid, folder } },
  ).unref();
}
