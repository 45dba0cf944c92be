import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { failure } from "@pare/core";

/**
 * The file of an engine's module, looked for beside the package at `from` (its `import.meta.url`), then from the program's
 * folder.
 * @throws PareError `PREFIX/no-engine`
 */
export function resolveModule(name: string, from: string, prefix: string): string {
  for (const place of [from, join(process.cwd(), "package.json")])
    try {
      return createRequire(place).resolve(name);
    } catch {
      // The next place.
    }
  throw failure(`${prefix}/no-engine`, `${name} is not installed`, {
    hint: `Install it beside Pare: npm install ${name}.`,
  });
}

/** The version in the package.json above `file`. */
export function versionAbove(file: string): string {
  for (let folder = dirname(file); folder !== dirname(folder); folder = dirname(folder))
    try {
      const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version?: unknown };
      if (typeof version === "string") return version;
    } catch {
      // The next folder.
    }
  return "unknown";
}
