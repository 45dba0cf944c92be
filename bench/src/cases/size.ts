import { execFile } from "node:child_process";
import { readdir, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import type { Benchmark } from "../benchmark.ts";
import { median, pareCommand } from "../command.ts";

const here = createRequire(import.meta.url);
const packages = ["core", "ops", "io", "onnx", "optimize", "quantize", "prune", "report", "runtime-ort"];

/** Bytes of a module and all that it imports, minified and compressed, as a browser would fetch it. */
async function gzipOf(contents: string, external: readonly string[] = []): Promise<number> {
  const result = await build({
    stdin: { contents, resolveDir: dirname(pareCommand()) },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    platform: "browser",
    external: [...external],
    logLevel: "silent",
  });
  return gzipSync(result.outputFiles[0]!.contents, { level: 9 }).byteLength;
}

/** Bytes that a package's own files take when it is installed. */
async function installedBytes(name: string): Promise<number> {
  const dist = join(dirname(here.resolve(`@pare/${name}/package.json`)), "dist");
  const files = await readdir(dist, { recursive: true });
  const sizes = await Promise.all(files.filter((f) => !f.endsWith(".map")).map((f) => stat(join(dist, f))));
  return sizes.reduce((sum, s) => sum + (s.isFile() ? s.size : 0), 0);
}

export const size: Benchmark = {
  name: "size",
  about: "bytes of the core and of a pass, installed packages, start of the command",
  async run({ progress }) {
    const coreGzip = await gzipOf(`export * from "@pare/core";`);
    const corePlusPassGzip = await gzipOf(`export * from "@pare/core"; export { threshold } from "@pare/prune";`, [
      "zod",
    ]);
    progress("starting the command");
    const help: number[] = [];
    for (let i = 0; i < 7; i++) {
      const started = performance.now();
      await promisify(execFile)(process.execPath, [pareCommand(), "--help"]);
      help.push(performance.now() - started);
    }
    const cases = [];
    for (const name of packages)
      cases.push({
        name: `@pare/${name}`,
        bundledGzip: await gzipOf(`export * from "@pare/${name}";`, ["zod", "onnxruntime-node", "onnxruntime-web"]),
        distBytes: await installedBytes(name),
      });
    return {
      figures: { coreGzip, corePlusPassGzip, helpMs: median(help) },
      cases,
      notes: ["bundledGzip: minified with what it imports of Pare; distBytes: its own files without source maps."],
    };
  },
};
