import { readFileSync } from "node:fs";
import { defineConfig, type Options } from "tsup";

interface Conditions {
  readonly [condition: string]: string | Conditions;
}

/** Sources that the package in this folder exports: `./src/parse.ts` becomes the entry `parse`. */
function exportedSources(): Record<string, string> {
  const { exports } = JSON.parse(readFileSync("package.json", "utf8")) as { exports: Conditions };
  const find = (at: string | Conditions, key = ""): string[] =>
    typeof at === "string"
      ? key === "pare-source"
        ? [at]
        : []
      : Object.entries(at).flatMap(([inner, value]) => find(value, inner));
  return Object.fromEntries(find(exports).map((file) => [file.replace(/^\.\/src\/|\.ts$/g, ""), file]));
}

/** Declarations take ten times as long as code: they are a task of their own, which only publishing and type checks of packed files need. */
const types = process.env["npm_lifecycle_event"] === "types";

/** The build that every package shares: ESM of what it exports and of `more`; declarations when the script is `types`. */
export const library = (more: Record<string, string> = {}, options: Options = {}): Options | Options[] =>
  defineConfig({
    entry: types ? exportedSources() : { ...exportedSources(), ...more },
    format: "esm",
    target: "es2022",
    dts: types ? { only: true, compilerOptions: { customConditions: [] } } : false,
    clean: !types,
    sourcemap: true,
    treeshake: true,
    splitting: true,
    removeNodeProtocol: false,
    ...options,
  }) as Options;
