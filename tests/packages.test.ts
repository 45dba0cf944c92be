import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { graph, model, node, tensor, value } from "@pare/core";
import { writeOnnx } from "@pare/onnx";
import { transform } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const root = new URL("..", import.meta.url).pathname;
const execute = promisify(execFile);

interface Manifest {
  readonly name: string;
  readonly dependencies?: Record<string, string>;
  readonly peerDependencies?: Record<string, string>;
}
const folders = [
  ...readdirSync(join(root, "packages")).map((name) => join("packages", name)),
  join("examples", "outside-pass"),
  join("examples", "outside-exporter"),
  join("examples", "outside-target"),
];
const manifests = new Map(
  folders.map((folder) => {
    const manifest = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8")) as Manifest;
    return [manifest.name, { folder, manifest }];
  }),
);

/** What has to be installed with a package because no registry has it yet: what it depends on in this workspace. */
function closure(name: string, seen = new Set<string>()): Set<string> {
  if (seen.has(name) || !manifests.has(name)) return seen;
  seen.add(name);
  const { dependencies, peerDependencies } = manifests.get(name)!.manifest;
  for (const dependency of Object.keys({ ...dependencies, ...peerDependencies })) closure(dependency, seen);
  return seen;
}

/** Engines are peers: a README says to install them beside. */
const engines: Readonly<Record<string, readonly string[]>> = {
  "@pare/runtime-ort": ["onnxruntime-node"],
  "@pare/runtime-litert": ["@litertjs/core"],
  "@pare/runtime-tfjs": ["@tensorflow/tfjs", "@tensorflow/tfjs-backend-wasm"],
  pare: ["onnxruntime-node"],
};

const small = model(
  graph({
    inputs: [value("x", "float32", ["N", 64])],
    outputs: [value("y", "float32", ["N", 64])],
    nodes: [node("MatMul", ["x", "w"], ["y"])],
    weights: new Map([
      [
        "w",
        tensor(
          "float32",
          [64, 64],
          Float32Array.from({ length: 4096 }, (_, i) => Math.sin(i * i)),
        ),
      ],
    ]),
  }),
);

const examplesOf = (readme: string): string[] => [...readme.matchAll(/^```(?:js|ts)\n(.*?)^```/gms)].map((m) => m[1]!);

let work: string;
const tarballs = new Map<string, string>();

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "pare-packages-"));
  const packed = join(work, "packed");
  mkdirSync(packed);
  for (const [name, { folder }] of manifests) {
    const { stdout } = await execute("node", [
      join(root, "scripts/pnpm.mjs"),
      "-C",
      join(root, folder),
      "pack",
      "--json",
      "--pack-destination",
      packed,
    ]);
    tarballs.set(name, (JSON.parse(stdout.slice(stdout.indexOf("{"))) as { filename: string }).filename);
  }
}, 300_000);
afterAll(() => rmSync(work, { recursive: true, force: true }));

describe("each package, packed and installed alone, runs its README's example", () => {
  for (const [name, { folder }] of manifests)
    test(name, async () => {
      const home = join(work, name.replace("/", "-"));
      mkdirSync(home);
      writeFileSync(join(home, "package.json"), JSON.stringify({ private: true, type: "module" }));
      const local = [...closure(name)].map((n) => tarballs.get(n)!);
      const flags = [
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--prefer-offline",
        "--loglevel=error",
        "--legacy-peer-deps",
      ];
      await execute("npm", ["install", ...flags, ...local, ...(engines[name] ?? [])], { cwd: home });
      // Examples of what reads files may read this one.
      await writeOnnx(small, join(home, "model.onnx"), { externalData: { threshold: 1024 } });
      const examples = examplesOf(readFileSync(join(root, folder, "README.md"), "utf8"));
      expect(examples.length).toBeGreaterThan(0);
      let printed = "";
      for (const [i, example] of examples.entries()) {
        const { code } = await transform(example, { loader: "ts", format: "esm" });
        writeFileSync(join(home, `example${i}.mjs`), code);
        const { stdout } = await execute("node", [`example${i}.mjs`], { cwd: home, timeout: 60_000 });
        printed += stdout;
      }
      expect(printed.trim()).not.toBe("");
    }, 180_000);
});
