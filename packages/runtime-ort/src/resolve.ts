import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { failure } from "@pare/core";

/** Where modules are looked for: beside this package, then from the program's folder. */
const places = () => [import.meta.url, join(process.cwd(), "package.json")].map((from) => createRequire(from));

/** The file of an engine's module. @throws PareError `ort/no-engine` */
export function resolveEngine(name: string): string {
  for (const { resolve } of places())
    try {
      return resolve(name);
    } catch {
      // The next place.
    }
  throw failure("ort/no-engine", `${name} is not installed`, { hint: `Install it beside Pare: npm install ${name}.` });
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
