import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, resolve, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { runInThisContext } from "node:vm";
import { loadLiteRt } from "./load.ts";
import type { LiteRt, LiteRtModule } from "./wasm.ts";

const loaded = new Map<string, Promise<LiteRt>>();

/** Loads LiteRT in this process from the file of `@litertjs/core`, once. */
export function loadHere(path: string): Promise<LiteRt> {
  const litert = loaded.get(path) ?? load(path);
  loaded.set(path, litert);
  return litert;
}

async function load(path: string): Promise<LiteRt> {
  const module = (await import(pathToFileURL(path).href)) as LiteRtModule;
  const wasm = resolve(dirname(path), "..", "wasm") + sep;
  return withBrowserGlobals(() => loadLiteRt(module, wasm.replaceAll("\\", "/"), false));
}

/** The package is made for browsers: what it looks for there is in the globals while `work` goes on. */
export async function withBrowserGlobals<T>(work: () => Promise<T>): Promise<T> {
  const scope = globalThis as Record<string, unknown>;
  const names = ["self", "importScripts", "__filename", "__dirname", "require"];
  const before = names.map((name) => [name, Object.getOwnPropertyDescriptor(scope, name)] as const);
  Object.assign(scope, {
    self: globalThis,
    importScripts(url: string) {
      const file = url.startsWith("file:") ? fileURLToPath(url) : url;
      Object.assign(scope, { __filename: file, __dirname: dirname(file), require: createRequire(file) });
      runInThisContext(readFileSync(file, "utf8"), { filename: file });
    },
  });
  try {
    return await work();
  } finally {
    for (const [name, descriptor] of before)
      if (descriptor) Object.defineProperty(scope, name, descriptor);
      else delete scope[name];
  }
}
