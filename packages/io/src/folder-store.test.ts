import { mkdtemp, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { folderStore, memoryStore } from "./index.node.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pare-io-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));
const bytes = (...parts: number[][]) => parts.map((p) => Uint8Array.from(p));
async function read(store: ReturnType<typeof memoryStore>, key: string) {
  const source = await store.get(key);
  if (!source) return undefined;
  const all = [...(await source.read({ offset: 0, length: source.byteLength }))];
  await expect(source.read({ offset: 1, length: source.byteLength })).rejects.toThrow("outside");
  await source.close();
  return all;
}
async function files() {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  return found.filter((f) => f.isFile()).map((f) => join(f.parentPath, f.name));
}

test.each([["folder"], ["memory"]])("%s store keeps what was put, by key", async (kind) => {
  const store = kind === "folder" ? folderStore(join(folder, "new")) : memoryStore();
  expect(await read(store, "a")).toBeUndefined();
  await store.put("a", bytes([1, 2], [3]));
  await store.put("../../b\0", bytes([4]));
  await store.put("empty", []);
  expect(await read(store, "a")).toEqual([1, 2, 3]);
  expect(await read(store, "../../b\0")).toEqual([4]);
  const empty = await store.get("empty");
  expect(empty?.byteLength).toBe(0);
  await empty?.close();
  await store.put("a", bytes([9]));
  expect(await read(store, "a")).toEqual([9]);
  const failing = async function* () {
    yield Uint8Array.from([5]);
    throw new Error("broken");
  };
  await expect(store.put("a", failing())).rejects.toThrow("broken");
  const controller = new AbortController();
  const aborting = async function* () {
    yield Uint8Array.from([5]);
    controller.abort(new Error("enough"));
    yield Uint8Array.from([6]);
  };
  await expect(store.put("a", aborting(), controller.signal)).rejects.toThrow("enough");
  expect(await read(store, "a")).toEqual([9]);
  if (kind === "folder") expect(await files()).toHaveLength(3);
});

test("what is in the folder is there for the next store, and damage counts as missing", async () => {
  await folderStore(folder).put("k", bytes([1, 2, 3]));
  expect(await read(folderStore(folder), "k")).toEqual([1, 2, 3]);
  const [file] = await files();
  await writeFile(file!, Uint8Array.from([1]), { flag: "r+" });
  expect(await read(folderStore(folder), "k")).toEqual([1, 2, 3]);
  await writeFile(file!, Uint8Array.from([7]), { flag: "r+" });
  expect(await read(folderStore(folder), "k")).toBeUndefined();
  expect(await files()).toEqual([]);
  await folderStore(folder).put("k", bytes([1, 2, 3]));
  await truncate(file!, 20);
  expect(await read(folderStore(folder), "k")).toBeUndefined();
});

test("many at once leave one whole entry", async () => {
  await Promise.all(Array.from({ length: 20 }, (_, i) => folderStore(folder).put("k", bytes([i, i], [i]))));
  const result = await read(folderStore(folder), "k");
  expect(result).toEqual([result![0], result![0], result![0]]);
  expect(await files()).toHaveLength(1);
});
