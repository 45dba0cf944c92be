import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FileSink } from "@pare/core";
import { afterEach, beforeEach, expect, test } from "vitest";
import { folderSink, memorySink, writeFileAtomic } from "./index.node.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pare-io-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));
const code = (c: string) => expect.objectContaining({ code: c });
const text = (name: string) => readFile(join(folder, name), "utf8");
async function put(sink: FileSink, name: string, ...parts: string[]) {
  const writer = await sink.create(name);
  for (const part of parts) await writer.write(new TextEncoder().encode(part));
  await writer.close();
}

test("nothing is visible before commit, everything after", async () => {
  await writeFile(join(folder, "m.onnx"), "old");
  const sink = folderSink(folder);
  await put(sink, "m.onnx", "new ", "model");
  await put(sink, "data/m.data", "weights");
  expect(await text("m.onnx")).toBe("old");
  expect(await readdir(join(folder, "data"))).toHaveLength(1);
  await expect(text("data/m.data")).rejects.toThrow("ENOENT");
  await sink.commit();
  await sink.abort();
  expect(await text("m.onnx")).toBe("new model");
  expect(await text("data/m.data")).toBe("weights");
  expect((await readdir(folder, { recursive: true })).sort()).toEqual(["data", "data/m.data", "m.onnx"]);
});

test("abort leaves the old files, and no new ones or folders", async () => {
  await writeFile(join(folder, "m.onnx"), "old");
  const sink = folderSink(folder);
  await put(sink, "m.onnx", "new");
  const open = await sink.create("deep/er/w");
  await open.write(new Uint8Array(10));
  await sink.abort();
  await expect(open.write(new Uint8Array(1))).rejects.toThrow(code("io/closed"));
  expect(await readdir(folder)).toEqual(["m.onnx"]);
  expect(await text("m.onnx")).toBe("old");
  const elsewhere = folderSink(join(folder, "a", "b"));
  await put(elsewhere, "f", "x");
  await elsewhere.abort();
  expect(await readdir(folder)).toEqual(["m.onnx"]);
});

test("names that leave the folder are refused when writing (CVE-2025-51480, VA-26-233-01)", async () => {
  const target = folderSink(join(folder, "out"));
  for (const name of ["../x", "/tmp/x", "a/../../x", "a\\b", "", "C:x"])
    await expect(target.create(name)).rejects.toThrow(code("io/file-name"));
  await expect(memorySink().create("../x")).rejects.toThrow(code("io/file-name"));
  await mkdir(join(folder, "out"), { recursive: true });
  await mkdir(join(folder, "other"));
  await symlink(join(folder, "other"), join(folder, "out", "link"));
  await expect(target.create("link/x")).rejects.toThrow(code("io/symlink"));
  expect(await readdir(join(folder, "other"))).toEqual([]);
});

test("a symlink at the target is replaced, not followed", async () => {
  await writeFile(join(folder, "precious"), "precious");
  await symlink(join(folder, "precious"), join(folder, "m.onnx"));
  await writeFileAtomic(join(folder, "m.onnx"), "new");
  expect(await text("m.onnx")).toBe("new");
  expect(await text("precious")).toBe("precious");
  await expect(readlink(join(folder, "m.onnx"))).rejects.toThrow("EINVAL");
});

test("a folder that becomes a symlink before commit is not followed", async () => {
  const sink = folderSink(folder);
  await put(sink, "sub/w", "x");
  await mkdir(join(folder, "other"));
  await rm(join(folder, "sub"), { recursive: true });
  await symlink(join(folder, "other"), join(folder, "sub"));
  await expect(sink.commit()).rejects.toThrow(code("io/symlink"));
  expect(await readdir(join(folder, "other"))).toEqual([]);
});

test("when one file cannot be put in place, the old ones come back", async () => {
  await writeFile(join(folder, "m.onnx"), "old model");
  await writeFile(join(folder, "a.data"), "old data");
  const sink = folderSink(folder);
  await put(sink, "m.onnx", "new model");
  await put(sink, "a.data", "new data");
  await put(sink, "b.data", "new data");
  await mkdir(join(folder, "b.data"));
  await expect(sink.commit()).rejects.toThrow(code("io/not-a-file"));
  await sink.abort();
  expect(await text("m.onnx")).toBe("old model");
  expect(await text("a.data")).toBe("old data");
  expect((await readdir(folder)).sort()).toEqual(["a.data", "b.data", "m.onnx"]);
});

test("a file may be created once, and commit wants all closed", async () => {
  for (const sink of [folderSink(folder), memorySink()]) {
    const writer = await sink.create("f");
    await expect(sink.create("./f")).rejects.toThrow(code("io/duplicate-file"));
    await expect(sink.commit()).rejects.toThrow(code("io/open-file"));
    await writer.close();
    await expect(writer.write(new Uint8Array(1))).rejects.toThrow(code("io/closed"));
    await sink.abort();
  }
});

test("writes append in the order of the calls, and the bytes may be reused", async () => {
  for (const sink of [folderSink(folder), memorySink()]) {
    const writer = await sink.create("f");
    const bytes = new Uint8Array(3).fill(1);
    await writer.write(bytes);
    bytes.fill(2);
    await Promise.all([writer.write(bytes), writer.write(new Uint8Array(2).fill(3))]);
    await writer.close();
    await sink.commit();
    const result =
      "files" in sink ? (sink as ReturnType<typeof memorySink>).files.get("f") : await readFile(join(folder, "f"));
    expect([...(result ?? [])]).toEqual([1, 1, 1, 2, 2, 2, 3, 3]);
  }
});

test("the memory sink shows files after commit only", async () => {
  const sink = memorySink();
  await put(sink, "m", "a", "b");
  expect(sink.files.size).toBe(0);
  await sink.commit();
  await sink.abort();
  expect(new TextDecoder().decode(sink.files.get("m"))).toBe("ab");
});

test("a process killed while it writes leaves the old file, and what it left is swept by the next", async () => {
  await writeFile(join(folder, "m.onnx"), "old");
  const script = `
    const { folderSink } = await import(${JSON.stringify(new URL("../dist/index.node.js", import.meta.url).href)});
    const writer = await folderSink(process.argv[1]).create("m.onnx");
    for (;;) { await writer.write(new Uint8Array(1 << 16)); process.stdout.write("."); }`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script, folder], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise((done) => child.stdout.once("data", done));
  child.kill("SIGKILL");
  await new Promise((done) => child.once("exit", done));
  expect(await text("m.onnx")).toBe("old");
  expect(await readdir(folder)).toHaveLength(2);
  await writeFileAtomic(join(folder, "m.onnx"), "new");
  expect(await readdir(folder)).toEqual(["m.onnx"]);
  expect(await text("m.onnx")).toBe("new");
});
