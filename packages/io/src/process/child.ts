import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import type { Socket } from "node:net";
import { type Diagnostic, failure, PareError } from "@pare/core";
import { type Frame, frameHead, frameParser } from "./frame.ts";

const STDERR_KEPT = 4096;

/** Variables that find libraries; the rest of the environment stays here. */
const inherited = /^(PATH|LD_LIBRARY_PATH|DYLD_\w+|SystemRoot|windir|TEMP|TMP|TMPDIR|LANG|LC_\w+)$/i;

/** What an engine's process answers. */
export type Reply = { readonly ok: unknown } | { readonly error: readonly Diagnostic[] };

export interface EngineProcessOptions {
  /** The file that {@link serve}s the engine. */
  readonly script: string;
  /** The package that the script is of, for people who bundle it away. */
  readonly package: string;
  /** The engine's name in errors. */
  readonly engine: string;
  /** Prefix of the codes of errors: `ort` makes `ort/crashed` and `ort/no-child`. */
  readonly prefix: string;
  /** A folder that the process removes when it ends. */
  readonly folder?: string | undefined;
  /** More variables of the environment that the engine needs. */
  readonly environment?: RegExp;
}

/** A process that an engine runs in; its end is no one else's. */
export interface EngineProcess {
  /** Sends a request and waits for its answer. One at a time. @throws PareError what the engine says, or `…/crashed` */
  ask(request: unknown, parts?: readonly Uint8Array[]): Promise<{ ok: unknown; parts: readonly Uint8Array[] }>;
  /** Ends it at once; what is under way rejects. Resolves when it is gone. */
  kill(): Promise<void>;
  alive(): boolean;
  readonly pid?: number;
}

/**
 * Starts a process for an engine: Node runs `script`, which calls {@link serve}. A crash rejects what is under way with
 * `PREFIX/crashed`. The process ends with this one, and then removes `folder`.
 * @throws PareError `PREFIX/no-child` when the script is not there
 */
export function engineProcess(options: EngineProcessOptions): EngineProcess {
  const { script, prefix, folder, environment } = options;
  if (!existsSync(script))
    throw failure(`${prefix}/no-child`, `the engine's script is not at ${script}`, {
      hint: `If you bundle your program, leave ${options.package} out of the bundle; or run the engine in this process: isolate: false.`,
    });
  const child = spawn(process.execPath, ["--expose-gc", script, ...(folder === undefined ? [] : [folder])], {
    stdio: ["ignore", "ignore", "pipe", "pipe"],
    env: {
      ...Object.fromEntries(
        Object.entries(process.env).filter(([name]) => inherited.test(name) || environment?.test(name)),
      ),
      ...(process.versions["electron"] ? { ELECTRON_RUN_AS_NODE: "1" } : {}),
    },
    windowsHide: true,
  });
  return {
    ask: connect(child, options),
    kill: () => end(child),
    alive: () => isAlive(child),
    ...(child.pid === undefined ? {} : { pid: child.pid }),
  };
}

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

function connect(child: ChildProcess, { prefix, engine }: EngineProcessOptions): EngineProcess["ask"] {
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
      fail(
        failure(`${prefix}/crashed`, `the engine's process answered nonsense: ${(cause as Error).message}`, { cause }),
      );
      child.kill("SIGKILL");
    }
  });
  // A write to a process that has ended: what matters is how it ended.
  pipe.on("error", () => {});
  child.once("error", (cause) =>
    fail(failure(`${prefix}/crashed`, `no process could be started for the engine: ${cause.message}`, { cause })),
  );
  // Not "exit": what it said last is still to be read.
  child.once("close", (code, signal) => fail(crash(prefix, engine, code, signal, said)));

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

function crash(prefix: string, engine: string, code: number | null, signal: string | null, said: string): PareError {
  const how = signal ? `was ended by ${signal}` : `exited with code ${code}`;
  const last = said.trim().split("\n").slice(-8).join("\n");
  return failure(`${prefix}/crashed`, `${engine}'s process ${how}${last && `; it said last: ${last}`}`, {
    ...(signal === "SIGKILL" ? { hint: "The system does so when memory runs out." } : {}),
  });
}
