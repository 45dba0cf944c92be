import { link, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { isPareError, lazyTensor, tensor } from "@pare/core";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openOnnx, writeOnnx } from "./open.ts";
import type { OnnxDocument } from "./proto.ts";
import { bytesOfMessage } from "./test/fixtures.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "pare-onnx-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const model = (location: string): OnnxDocument => ({
  ir_version: 8,
  opset_import: [{ version: 17 }],
  graph: {
    name: "g",
    output: [{ name: "y", type: { tensor_type: { elem_type: 2 } } }],
    node: [{ input: ["w"], output: ["y"], op_type: "Identity" }],
    initializer: [
      {
        name: "w",
        data_type: 2,
        dims: [100_000],
        data_location: 1,
        external_data: [{ key: "location", value: location }],
      },
    ],
  },
});
const weights = Uint8Array.from({ length: 100_000 }, (_, i) => i % 251);

async function put(location: string): Promise<string> {
  const path = join(dir, "m", "model.onnx");
  await mkdir(join(dir, "m"), { recursive: true });
  await writeFile(path, await bytesOfMessage("ModelProto", model(location)));
  return path;
}
const codeOf = async (path: string) => {
  const error = await openOnnx(path).catch((e: unknown) => e);
  return isPareError(error) ? error.code : `no PareError: ${error}`;
};

test("a path or URL with its data is read, written and read again", async () => {
  const path = await put("data/w.bin");
  await mkdir(join(dir, "m", "data"));
  await writeFile(join(dir, "m", "data", "w.bin"), weights);
  const source = await openOnnx(pathToFileURL(path));
  expect(Buffer.compare(await source.model.graph.weights.get("w")!.read(), weights)).toBe(0);
  const out = join(dir, "out", "ünder score.onnx");
  const artifact = await writeOnnx(source.model, pathToFileURL(out), { externalData: true });
  await source.close();
  expect(artifact.files.map((f) => f.name)).toEqual(["ünder score.onnx", "ünder score.onnx.data"]);
  expect((await readdir(join(dir, "out"))).sort()).toEqual(["ünder score.onnx", "ünder score.onnx.data"]);
  const again = await openOnnx(out);
  expect(Buffer.compare(await again.model.graph.weights.get("w")!.read(), weights)).toBe(0);
  await again.close();
  await expect(again.model.graph.weights.get("w")!.read()).rejects.toThrow("io/closed");
});

test("a model is written over itself", async () => {
  const path = await put("w.bin");
  await writeFile(join(dir, "m", "w.bin"), weights);
  const source = await openOnnx(path);
  await writeOnnx(source.model, path, { externalData: false });
  await source.close();
  const again = await openOnnx(path);
  expect(Buffer.compare(await again.model.graph.weights.get("w")!.read(), weights)).toBe(0);
  await again.close();
});

test("CVE-2026-27489, CVE-2026-34447, CVE-2026-34446: links out of the folder are refused", async () => {
  const secret = join(dir, "secret.bin");
  await writeFile(secret, weights);
  const path = await put("w.bin");
  await symlink(secret, join(dir, "m", "w.bin"));
  expect(await codeOf(path)).toBe("io/symlink");
  await rm(join(dir, "m", "w.bin"));
  await link(secret, join(dir, "m", "w.bin"));
  expect(await codeOf(path)).toBe("io/hard-link");
  await symlink(dir, join(dir, "m", "sub"));
  expect(await codeOf(await put("sub/secret.bin"))).toBe("io/symlink");
  expect(await codeOf(await put("../secret.bin"))).toBe("onnx/external-location");
});

test("a write that fails leaves the old file as it was, and nothing else", async () => {
  const path = join(dir, "model.onnx");
  await writeFile(path, "old");
  const source = await openOnnx(
    await bytesOfMessage("ModelProto", {
      ...model(""),
      graph: { ...model("").graph, initializer: [{ name: "w", data_type: 2, dims: [1], raw_data: Uint8Array.of(1) }] },
    }),
  );
  const failing = lazyTensor({
    dtype: "uint8",
    shape: [1 << 22],
    async read({ offset, length }) {
      if (offset > 1 << 21) throw new Error("gone");
      return new Uint8Array(length);
    },
  });
  const m = { ...source.model, graph: { ...source.model.graph, weights: new Map([["w", failing]]) } };
  for (const externalData of [false, true] as const)
    await expect(writeOnnx(m, path, { externalData })).rejects.toThrow("gone");
  expect(await readFile(path, "utf8")).toBe("old");
  expect(await readdir(dir)).toEqual(["model.onnx"]);
});

test("a missing file is named", async () => {
  expect(await codeOf(join(dir, "none.onnx"))).toBe("io/not-found");
  expect(await codeOf(await put("none.bin"))).toBe("io/not-found");
});

test("a Blob is read", async () => {
  const t = tensor("uint8", [2], [1, 2]);
  const bytes = await bytesOfMessage("ModelProto", {
    ...model(""),
    graph: { ...model("").graph, initializer: [{ name: "w", data_type: 2, dims: [2], raw_data: t.bytes }] },
  });
  const source = await openOnnx(new Blob([bytes as Uint8Array<ArrayBuffer>]));
  expect(source.model.graph.weights.get("w")!.bytes).toEqual(t.bytes);
});
