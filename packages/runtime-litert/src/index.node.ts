/** The build for Node: LiteRT in a process of its own. */
import { readFile, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { PrepareOptions } from "@pare/core";
import { folderSink, openSource, temporaryFolder } from "@pare/io";
import { resolveModule, versionAbove } from "@pare/io/process";
import { readModel, writeModel } from "@pare/tflite";
import { fail } from "./codes.ts";
import { tapsOf } from "./entry.ts";
import { isolatedEngine } from "./isolated.ts";
import { loadHere } from "./load.node.ts";
import { localEngine } from "./local.ts";
import type { LitertOptions, LitertRuntime, LitertSession } from "./options.ts";
import { modelProgram, type Program, tfliteProgram } from "./program.ts";
import { openSession } from "./session.ts";

export type { Latency, LitertOptions, LitertRuntime, LitertSession, Lower, MeasureOptions } from "./options.ts";

/**
 * LiteRT (`@litertjs/core`) as a runtime: Google's TFLite with XNNPACK, in WebAssembly. By default in a child process for
 * each session; an abort, a time-out or a crash ends the child and nothing else. What LiteRT only logs is an error here.
 * @throws PareError `litert/options`; later `litert/no-engine`, `litert/refused`, `litert/failed`, `litert/crashed`,
 * `litert/timeout`, `litert/input`, `litert/output`, `litert/tap`, `litert/state`, `litert/dtype`, `litert/closed`
 * @example
 * const session = await litert().prepareFile("classifier.tflite");
 * const { logits } = await session.run({ image });
 * await session.close();
 */
export function litert(options: LitertOptions = {}): LitertRuntime {
  const { isolate = true, accelerator = "wasm", signature, lower, module = "@litertjs/core" } = options;
  if (typeof module !== "string" || accelerator !== "wasm" || options.threads !== undefined || options.wasm)
    throw fail("litert/options", "in Node there is one thread of WebAssembly, and the module is loaded by its name", {
      hint: "Leave out accelerator, threads and wasm, and give module as a name or path.",
    });
  const locate = () => resolveModule(module, import.meta.url, "litert");

  const prepare = async (
    programOf: () => Promise<Program> | Program,
    prepareOptions: PrepareOptions,
    close?: () => Promise<void>,
  ): Promise<LitertSession> => {
    prepareOptions.signal?.throwIfAborted();
    const path = locate();
    const here = isolate ? undefined : await loadHere(path);
    const folder = await temporaryFolder();
    const dispose = async () => {
      await folder.remove();
      await close?.();
    };
    let program: Program;
    try {
      program = await programOf();
    } catch (error) {
      await dispose();
      throw error;
    }
    let count = 0;
    return openSession({
      start: () => (here ? localEngine(here, readFile) : isolatedEngine(path, folder.path)),
      program,
      store: {
        async put(model, signal) {
          const name = `model${count++}.tflite`;
          await writeModel(model, folderSink(folder.path, { durable: false }), name, { signal });
          return { path: join(folder.path, name) };
        },
        async remove(location) {
          if ("path" in location) await rm(location.path, { force: true });
        },
      },
      engineOptions: { accelerator, threads: 1 },
      options: prepareOptions,
      dispose,
    });
  };
  return {
    name: "@litertjs/core",
    version: async () => versionAbove(locate()),
    async prepareFile(path, prepareOptions = {}) {
      const { signal, taps = [] } = prepareOptions;
      const source = await openSource(path, signal ? { signal } : {});
      return prepare(
        async () =>
          tfliteProgram(await readModel(source, signal ? { signal } : {}), {
            signature,
            path: resolve(path),
            taps: (graph) => tapsOf(graph, taps),
          }),
        prepareOptions,
        source.close,
      );
    },
    prepare: (model, prepareOptions = {}) =>
      prepare(() => modelProgram(model, prepareOptions.taps ?? [], { signature, lower }), prepareOptions),
  };
}
