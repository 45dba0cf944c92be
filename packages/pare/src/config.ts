import { access } from "node:fs/promises";
import { extname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { failure, isPareError, type Model } from "@pare/core";
import type { CompressOptions } from "./compress.ts";

/** What a `pare.config.ts` exports by default. Flags of the command line go before it. */
export interface PareConfig extends Partial<Omit<CompressOptions, "samples" | "signal" | "onProgress">> {
  /** The model, when the command line names none. */
  readonly input?: string;
  /** Samples, or a function that makes them for the model. */
  readonly samples?: CompressOptions["samples"] | ((model: Model) => CompressOptions["samples"]);
}

/**
 * Gives a configuration its type.
 * @example export default defineConfig({ passes: [optimize(), int8Weights({ granularity: "channel" })] });
 */
export const defineConfig = (config: PareConfig): PareConfig => config;

const names = ["ts", "mts", "mjs", "js"].map((ext) => `pare.config.${ext}`);

/** Loads a configuration: the given file, or `pare.config.ts|mts|mjs|js` of the folder; undefined when there is none. */
export async function loadConfig(cwd: string, given?: string): Promise<PareConfig | undefined> {
  const file = given === undefined ? await findConfig(cwd) : resolve(cwd, given);
  if (file === undefined) return undefined;
  let config: unknown;
  try {
    config = await importDefault(file);
  } catch (cause) {
    if (isPareError(cause)) throw cause;
    throw failure(
      "pare/config",
      `the configuration cannot be loaded: ${cause instanceof Error ? cause.message : String(cause)}`,
      {
        location: { file },
        cause,
      },
    );
  }
  if (typeof config !== "object" || config === null)
    throw failure("pare/config", "the configuration has no default export that is an object", {
      location: { file },
      hint: 'export default defineConfig({ passes: […] }), with defineConfig from "pare".',
    });
  const known = new Set([
    "input",
    "passes",
    "maxDrop",
    "metric",
    "output",
    "suffix",
    "runtime",
    "minCoverage",
    "minSqnrDb",
    "verify",
    "latency",
    "values",
    "verifySamples",
    "distributions",
    "shapes",
    "gzip",
    "onnx",
    "threads",
    "samples",
    "labels",
    "target",
    "store",
  ] satisfies (keyof PareConfig)[] as string[]);
  const unknown = Object.keys(config).filter((key) => !known.has(key));
  if (unknown.length > 0)
    throw failure("pare/config", `the configuration has unknown keys: ${unknown.join(", ")}`, {
      location: { file },
      hint: `It may have ${[...known].join(", ")}.`,
    });
  return config as PareConfig;
}

async function findConfig(cwd: string): Promise<string | undefined> {
  for (const name of names) {
    const file = join(cwd, name);
    if (
      await access(file).then(
        () => true,
        () => false,
      )
    )
      return file;
  }
  return undefined;
}

/** Node 20 cannot import TypeScript; jiti can, and is loaded for nothing else. */
async function importDefault(file: string): Promise<unknown> {
  await access(file);
  if (/^\.[cm]?ts$/.test(extname(file))) {
    const { createJiti } = await import("jiti");
    return createJiti(pathToFileURL(file).href, { moduleCache: false }).import(file, { default: true });
  }
  return ((await import(pathToFileURL(file).href)) as { default?: unknown }).default;
}
