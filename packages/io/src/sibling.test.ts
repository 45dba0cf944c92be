import { execFileSync } from "node:child_process";
import { link, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { siblingOpener } from "./index.node.ts";

let root: string;
let folder: string;
const code = (c: string) => expect.objectContaining({ code: c });

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "pare-io-"));
  folder = join(root, "mymodel");
  await mkdir(join(folder, "sub"), { recursive: true });
  await mkdir(join(root, "mymodel_evil"));
  await writeFile(join(root, "secret"), "secret");
  await writeFile(join(root, "mymodel_evil", "w"), "evil");
  await writeFile(join(folder, "w"), "weights");
  await writeFile(join(folder, "sub", "w"), "deeper");
});
afterEach(() => rm(root, { recursive: true, force: true }));
const open = (name: string) => siblingOpener(join(folder, "model.onnx"))(name);
const text = async (name: string) => {
  const source = await open(name);
  const bytes = await source.read({ offset: 0, length: source.byteLength });
  await source.close();
  return new TextDecoder().decode(bytes);
};

test("opens what is beside the model and below it", async () => {
  expect(await text("w")).toBe("weights");
  expect(await text("./sub/w")).toBe("deeper");
});

test("names that leave the folder are refused (CVE-2022-25882, CVE-2024-27318)", async () => {
  for (const name of ["../secret", "sub/../../secret", join(root, "secret"), "..\\secret", ""])
    await expect(open(name)).rejects.toThrow(code("io/file-name"));
});

test("a folder whose name starts with the model's folder's name is outside (CVE-2024-7776)", async () => {
  await expect(open("../mymodel_evil/w")).rejects.toThrow(code("io/file-name"));
  await symlink(join(root, "mymodel_evil"), join(folder, "in"));
  await expect(open("in/w")).rejects.toThrow(code("io/symlink"));
});

test("symlinks are refused in every component (CVE-2026-27489, CVE-2026-34447)", async () => {
  await symlink(join(root, "secret"), join(folder, "last"));
  await symlink(root, join(folder, "middle"));
  await symlink(join(folder, "w"), join(folder, "inside"));
  for (const name of ["last", "middle/secret", "inside"]) await expect(open(name)).rejects.toThrow(code("io/symlink"));
});

test("a bare file name has a folder too: the check is never void (CVE-2026-27489)", async () => {
  const bare = siblingOpener("model.onnx");
  await expect(bare("../package.json")).rejects.toThrow(code("io/file-name"));
  await expect(bare("no-such-file")).rejects.toThrow(code("io/not-found"));
});

test("hard links are refused (CVE-2026-34446)", async () => {
  await link(join(root, "secret"), join(folder, "hard"));
  await expect(open("hard")).rejects.toThrow(code("io/hard-link"));
});

test("the model's own path may be a symlink; its folder is where the link stands", async () => {
  await writeFile(join(root, "blob"), "model");
  await symlink(join(root, "blob"), join(folder, "model.onnx"));
  expect(await text("w")).toBe("weights");
  await symlink(folder, join(root, "alias"));
  const source = await siblingOpener(join(root, "alias", "model.onnx"))("w");
  expect(source.byteLength).toBe(7);
  await source.close();
});

test("keys of Object.prototype are only names (CVE-2026-34445)", async () => {
  await expect(open("__proto__")).rejects.toThrow(code("io/not-found"));
});

test.skipIf(process.platform === "win32")("pipes, sockets, folders and devices are refused at once", async () => {
  execFileSync("mkfifo", [join(folder, "pipe")]);
  const server = await new Promise<Server>((done) => {
    const made: Server = createServer().listen(join(folder, "socket"), () => done(made));
  });
  for (const name of ["pipe", "sub", "socket"]) await expect(open(name)).rejects.toThrow(code("io/not-a-file"));
  server.close();
});
