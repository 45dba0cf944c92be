import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import type { Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { failure, PareError } from "@pare/core";
import type { Reply, Request } from "./child.ts";
import type { Engine, MeasureRequest, RunRequest, WireTensor } from "./engine.ts";
import { type Frame, frameHead, frameParser } from "./frame.ts";

const STDERR_KEPT = 4096;

/** Variables that find libraries and devices or tune the engine; the rest of the environment stays here. */
const inherited =
  /^(PATH|LD_LIBRARY_PATH|DYLD_\w+|SystemRoot|windir|TEMP|TMP|TMPDIR|LANG|LC_\w+|(CUDA|NVIDIA|ORT|OMP|KMP|OPENVINO|QNN|HIP|ROCM)_\w+)$/i;

/**
 * An engine in a process of its own, whose end is no one else's: a crash rejects what is under way with `ort/crashed`.
 * The process ends with this one, and then removes `folder`.
 */
export function isolatedEngine(modulePath: string, folder: string | undefined): Engine {
  const script = fileURLToPath(
    new URL(import.meta.url.endsWith(".ts") ? "../dist/child.js" : "./child.js", import.meta.url),
  );
  if (!existsSync(script))
    throw failure("ort/no-child", `the engine's script is not at ${script}`, {
      hint: "If you bundle your program, leave @pare/runtime-ort out of the bundle; or use ort({ isolate: false }).",
    });
  const child = spawn(process.execPath, ["--expose-gc", script, ...(folder === undefined ? [] : [folder])], {
    stdio: ["ignore", "ignore", "pipe", "pipe"],
    env: {
      ...Object.fromEntries(Object.entries(process.env).filter(([name]) => inherited.test(name))),
      ...(process.versions["electron"] ? { ELECTRON_RUN_AS_NODE: "1" } : {}),
    },
    windowsHide: true,
  });
  const ask = connect(child);
  const loaded = ask({ do: "load", module: modulePath });
  loaded.catch(() => {});
  const call: Call = async (request, parts) => {
    await loaded;
    return ask(request, parts);
  };
  const bare = <R extends RunRequest>({ feeds, ...rest }: R) => ({ ...rest, feeds: feeds.map(withoutBytes) });
  const bytes = (values: readonly WireTensor[]) => values.map((v) => v.bytes);
  return {
    async open(id, location, options) {
      if (!("path" in location)) throw failure("ort/failed", "a model in memory cannot be handed to another process");
      return (await call({ do: "open", id, path: location.path, options })).ok as Awaited<ReturnType<Engine["open"]>>;
    },
    async setState(values) {
      await call({ do: "state", values: values.map(withoutBytes) }, bytes(values));
    },
    async run(request) {
      const { ok, parts } = await call({ do: "run", request: bare(request) }, bytes(request.feeds));
      return (ok as Omit<WireTensor, "bytes">[]).map((t, i) => ({ ...t, bytes: parts[i]! }));
    },
    async measure(request: MeasureRequest) {
      return (await call({ do: "measure", request: bare(request) }, bytes(request.feeds))).ok as number[];
    },
    async release(id) {
      await call({ do: "release", id });
    },
    kill: () => end(child),
    alive: () => isAlive(child),
    ...(child.pid === undefined ? {} : { pid: child.pid }),
  };
}

const withoutBytes = ({ bytes: _, ...t }: WireTensor) => t;
const isAlive = (child: ChildProcess) =>
  child.pid !== undefined && child.exitCode === null && child.signalCode === null;

/** Kills `child` and waits until it is gone. */
function end(child: ChildProcess): Promise<void> {
  if (!isAlive(child)) return Promise.resolve();
  return new Promise((done) => {
    child.ref();
    child.once("exit", () => done());
    child.kill("SIGKILL");
  });
}

type Call = (request: Request, parts?: readonly Uint8Array[]) => Promise<{ ok: unknown; parts: readonly Uint8Array[] }>;

function connect(child: ChildProcess): Call {
  const pipe = child.stdio[3] as Socket;
  const { stderr } = child as ChildProcess & { stderr: Socket };
  let pending: { resolve: (frame: Frame) => void; reject: (error: unknown) => void } | undefined;
  let said = "";
  let gone: PareError | undefined;

  const fail = (error: PareError) => {
    gone ??= error;
    pending?.reject(gone);
    pending = undefined;
  };
  stderr.on("data", (data) => {
    said = (said + data).slice(-STDERR_KEPT);
  });
  const parse = frameParser((frame) => {
    pending?.resolve(frame);
    pending = undefined;
  });
  pipe.on("data", (chunk: Uint8Array) => {
    try {
      parse(chunk);
    } catch (cause) {
      fail(failure("ort/crashed", `the engine's process answered nonsense: ${(cause as Error).message}`, { cause }));
      child.kill("SIGKILL");
    }
  });
  // A write to a process that has ended: what matters is how it ended.
  pipe.on("error", () => {});
  child.once("error", (cause) =>
    fail(failure("ort/crashed", `no process could be started for the engine: ${cause.message}`, { cause })),
  );
  // Not "exit": what it said last is still to be read.
  child.once("close", (code, signal) => fail(crash(code, signal, said)));

  const wakeful = (on: boolean) => {
    for (const part of [child, pipe, stderr]) on ? part.ref() : part.unref();
  };
  wakeful(false);

  return (request, parts = []) =>
    new Promise((resolve, reject) => {
      if (gone) return reject(gone);
      wakeful(true);
      const settle = (then: () => void) => {
        wakeful(false);
        then();
      };
      pending = {
        resolve: ({ body, parts: received }) =>
          settle(() => {
            const reply = body as Reply;
            if ("error" in reply) reject(new PareError(reply.error));
            else resolve({ ok: reply.ok, parts: received });
          }),
        reject: (error) => settle(() => reject(error)),
      };
      pipe.write(frameHead({ body: request, parts }));
      for (const part of parts) if (part.byteLength > 0) pipe.write(part);
    });
}

function crash(code: number | null, signal: string | null, said: string): PareError {
  const how = signal ? `was ended by ${signal}` : `exited with code ${code}`;
  const last = said.trim().split("\n").slice(-8).join("\n");
  return failure("ort/crashed", `ONNX Runtime's process ${how}${last && `; it said last: ${last}`}`, {
    ...(signal === "SIGKILL" ? { hint: "The system does so when memory runs out." } : {}),
  });
}
