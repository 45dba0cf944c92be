/** The process that ONNX Runtime runs in. It answers one request at a time on descriptor 3 and ends with its parent. */
import { readSync, rmSync, writeSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { type Diagnostic, failure, isPareError } from "@pare/core";
import type { Engine, EngineOptions, MeasureRequest, RunRequest, WireTensor } from "./engine.ts";
import { type Frame, frameHead, headerLength, parseHeader } from "./frame.ts";
import { localEngine, namespaceOf } from "./local.ts";

export type Request =
  | { readonly do: "load"; readonly module: string }
  | { readonly do: "open"; readonly id: string; readonly path: string; readonly options: EngineOptions }
  | { readonly do: "state"; readonly values: readonly Omit<WireTensor, "bytes">[] }
  | { readonly do: "run"; readonly request: Bare<RunRequest> }
  | { readonly do: "measure"; readonly request: Bare<MeasureRequest> }
  | { readonly do: "release"; readonly id: string };
/** Tensors without their bytes, which are the frame's parts. */
export type Bare<R extends RunRequest> = Omit<R, "feeds"> & { readonly feeds: readonly Omit<WireTensor, "bytes">[] };
export type Reply = { readonly ok: unknown } | { readonly error: readonly Diagnostic[] };

const PIPE = 3;
const LARGE = 32 << 20;
const folder = process.argv[2];

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

const withBytes = (values: readonly Omit<WireTensor, "bytes">[], parts: readonly Uint8Array[]): WireTensor[] =>
  values.map((v, i) => ({ ...v, bytes: parts[i]! }));

let engine: Engine | undefined;

async function answer({ body, parts }: Frame): Promise<Frame> {
  const request = body as Request;
  if (request.do === "load") {
    engine = localEngine(namespaceOf((await import(pathToFileURL(request.module).href)) as object));
    return { body: { ok: null }, parts: [] };
  }
  if (!engine) throw failure("ort/failed", "the engine was not loaded");
  switch (request.do) {
    case "open":
      return { body: { ok: await engine.open(request.id, { path: request.path }, request.options) }, parts: [] };
    case "state":
      await engine.setState(withBytes(request.values, parts));
      return { body: { ok: null }, parts: [] };
    case "run": {
      const results = await engine.run({ ...request.request, feeds: withBytes(request.request.feeds, parts) });
      return { body: { ok: results.map(({ bytes, ...t }) => t) }, parts: results.map((t) => t.bytes) };
    }
    case "measure": {
      const times = await engine.measure({ ...request.request, feeds: withBytes(request.request.feeds, parts) });
      return { body: { ok: times }, parts: [] };
    }
    case "release":
      await engine.release(request.id);
      return { body: { ok: null }, parts: [] };
    default:
      return request satisfies never;
  }
}

const diagnosticsOf = (error: unknown): readonly Diagnostic[] =>
  isPareError(error)
    ? error.diagnostics
    : [{ code: "ort/failed", severity: "error", message: error instanceof Error ? error.message : String(error) }];

// The parent decides when this process ends: Ctrl-C goes to both, and the parent may have work to finish.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});

// While a run blocks this thread nobody reads the pipe, so that another thread looks whether the parent is there.
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

/** Reads, answers, and gives the number of bytes that went through; undefined at the end. */
async function serve(): Promise<number | undefined> {
  const frame = readFrame();
  if (!frame) return undefined;
  const reply = await answer(frame).catch((error): Frame => ({ body: { error: diagnosticsOf(error) }, parts: [] }));
  writeFrame(reply);
  return [...frame.parts, ...reply.parts].reduce((n, p) => n + p.byteLength, 0);
}

for (let bytes: number | undefined; (bytes = await serve()) !== undefined; )
  // Tensors are outside of the heap: the collector would let several runs of large ones pile up.
  if (bytes > LARGE) globalThis.gc?.();
if (folder) rmSync(folder, { recursive: true, force: true });
process.kill(process.pid, "SIGKILL");
