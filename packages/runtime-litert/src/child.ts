/** The process that LiteRT runs in. */
import { readFile } from "node:fs/promises";
import { type Answer, serve } from "@pare/io/process";
import { fail } from "./codes.ts";
import type { Engine, EngineOptions, MeasureRequest, RunRequest, WireTensor } from "./engine.ts";
import { loadHere } from "./load.node.ts";
import { localEngine } from "./local.ts";

export type Request =
  | { readonly do: "load"; readonly module: string }
  | { readonly do: "open"; readonly id: string; readonly path: string; readonly options: EngineOptions }
  | { readonly do: "run"; readonly request: Bare<RunRequest> }
  | { readonly do: "measure"; readonly request: Bare<MeasureRequest> }
  | { readonly do: "release"; readonly id: string };
/** Tensors without their bytes, which are the message's parts. */
export type Bare<R extends RunRequest> = Omit<R, "inputs"> & { readonly inputs: readonly Omit<WireTensor, "bytes">[] };

let engine: Engine | undefined;

const whole = <R extends RunRequest>(request: Bare<R>, parts: readonly Uint8Array[]) => ({
  ...request,
  inputs: request.inputs.map((t, i) => ({ ...t, bytes: parts[i]! })),
});

async function answer(request: Request, parts: readonly Uint8Array[]): Promise<Answer> {
  if (request.do === "load") {
    engine = localEngine(await loadHere(request.module), (path) => readFile(path));
    return { ok: null };
  }
  if (!engine) throw fail("litert/failed", "the engine was not loaded");
  switch (request.do) {
    case "open":
      return { ok: await engine.open(request.id, { path: request.path }, request.options) };
    case "run": {
      const results = await engine.run(whole(request.request, parts));
      return { ok: results.map(({ bytes, ...t }) => t), parts: results.map((t) => t.bytes) };
    }
    case "measure":
      return { ok: await engine.measure(whole(request.request, parts) as MeasureRequest) };
    case "release":
      await engine.release(request.id);
      return { ok: null };
    default:
      return request satisfies never;
  }
}

await serve((request, parts) => answer(request as Request, parts), "litert/failed");
