import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { graph, model, node, tensor, value } from "@pare/core";
import { writeOnnx } from "@pare/onnx";
import { transform } from "esbuild";
import { expect, test } from "vitest";

const root = new URL("..", import.meta.url).pathname;
const readme = readFileSync(join(root, "README.md"), "utf8");
const marked = /<!-- (examples\/\S+\.ts) -->\n```ts\n(.*?)```/s.exec(readme)!;

test("the README's example is the file that is type checked", () => {
  expect(marked[2]).toBe(readFileSync(join(root, marked[1]!), "utf8"));
});

test("the README's example runs and says what it says", { timeout: 60_000 }, async () => {
  // Beside the example, so that Node finds what the example imports.
  const folder = mkdtempSync(join(root, "examples/compress/.run-"));
  try {
    const weights = Float32Array.from({ length: 64 * 64 }, (_, i) => Math.sin(i * i));
    const small = model(
      graph({
        inputs: [value("x", "float32", ["N", 64])],
        outputs: [value("y", "float32", ["N", 64])],
        nodes: [node("MatMul", ["x", "w"], ["h"]), node("Relu", ["h"], ["y"])],
        weights: new Map([["w", tensor("float32", [64, 64], weights)]]),
      }),
    );
    await writeOnnx(small, join(folder, "model.onnx"));
    const { code } = await transform(marked[2]!, { loader: "ts", format: "esm" });
    writeFileSync(join(folder, "compress.mjs"), code);
    const { stdout } = await promisify(execFile)(process.execPath, ["compress.mjs"], { cwd: folder });
    expect(stdout).toMatch(/^int8-weights: 1 of 1 done\ny: \d\d\.\d dB\n\d+ bytes\n$/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("every package has its place in the README's table", () => {
  const names = readdirSync(join(root, "packages")).map(
    (folder) => JSON.parse(readFileSync(join(root, "packages", folder, "package.json"), "utf8")).name as string,
  );
  expect(names.filter((name) => !readme.includes(`| \`${name}\` `))).toEqual([]);
});
