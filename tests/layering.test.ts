import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

const root = new URL("..", import.meta.url).pathname;

/** What each kind of package may depend on, as docs/architecture.md draws it. `format` stands for the format a runtime eats. */
const layers: Record<string, { readonly packages: readonly string[]; readonly may: readonly string[] }> = {
  contracts: { packages: ["core"], may: [] },
  operators: { packages: ["ops"], may: ["core"] },
  networks: { packages: ["nn"], may: ["core"] },
  formats: { packages: ["onnx", "tflite", "tfjs"], may: ["core", "ops", "io"] },
  "TensorRT, which is ONNX with rules": { packages: ["tensorrt"], may: ["core", "ops", "io", "onnx"] },
  passes: { packages: ["optimize", "quantize", "train"], may: ["core", "ops"] },
  "passes that train": { packages: ["prune", "distill"], may: ["core", "ops", "train"] },
  runtimes: {
    packages: ["runtime-ort", "runtime-litert", "runtime-tfjs"],
    may: ["core", "ops", "io", "onnx", "tflite"],
  },
  around: { packages: ["io", "testing", "report"], may: ["core", "ops"] },
};
const people = new Set(["pare", "create-pare-plugin"]);

const packages = readdirSync(join(root, "packages"));
const sourcesOf = (name: string) =>
  readdirSync(join(root, "packages", name, "src"), { recursive: true, encoding: "utf8" })
    .filter((file) => /\.m?[jt]s$/.test(file))
    .map((file) => ({ file, text: readFileSync(join(root, "packages", name, "src", file), "utf8") }));
const importsOf = (text: string) =>
  [...text.matchAll(/(?:from|import)\s*\(?\s*["']([^"'\n]+)["']/g)].map((m) => m[1]!).filter((s) => /^[\w@]/.test(s));
const workspaceName = (specifier: string) =>
  /^@pare\/([^/]+)/.exec(specifier)?.[1] ?? (specifier === "pare" ? "pare" : undefined);

describe("layers", () => {
  test("every package has a place", () => {
    const placed = new Set([...Object.values(layers).flatMap((l) => l.packages), ...people]);
    expect(packages.filter((p) => !placed.has(p))).toEqual([]);
  });

  for (const [layer, { packages: members, may }] of Object.entries(layers))
    for (const name of members.filter((m) => packages.includes(m))) {
      const manifest = JSON.parse(readFileSync(join(root, "packages", name, "package.json"), "utf8")) as {
        dependencies?: Record<string, string>;
        peerDependencies?: Record<string, string>;
      };
      const declared = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies });
      test(`${name} (${layer}) declares only what it may`, () => {
        const inside = declared.map(workspaceName).filter((d) => d !== undefined);
        expect(inside.filter((d) => !may.includes(d))).toEqual([]);
      });
      test(`${name} imports only what it declares`, () => {
        const foreign = sourcesOf(name)
          .filter(({ file }) => !file.endsWith(".test.ts") && !file.startsWith("test/"))
          .flatMap(({ file, text }) => importsOf(text).map((specifier) => ({ file, specifier })))
          .filter(({ specifier }) => !specifier.startsWith("node:"))
          .filter(({ specifier }) => {
            const named = specifier
              .split("/")
              .slice(0, specifier.startsWith("@") ? 2 : 1)
              .join("/");
            return named !== `@pare/${name}` && !declared.includes(named);
          });
        expect(foreign).toEqual([]);
      });
    }
});
