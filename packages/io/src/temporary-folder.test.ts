import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, realpath, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

let root: string;
beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), "pare-test-")));
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** Runs `script` in a process whose folder for temporary files is `at`; it has `temporaryFolder`. */
async function run(script: string, at = root, kill = false): Promise<string> {
  const module = JSON.stringify(new URL("../dist/index.node.js", import.meta.url).href);
  const code = `const { temporaryFolder } = await import(${module}); ${script}`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", code], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, TMPDIR: at },
  });
  let text = "";
  child.stdout.on("data", (data) => {
    text += data;
    if (kill) child.kill("SIGKILL");
  });
  await new Promise((done) => child.once("close", done));
  return text;
}
const print = "process.stdout.write((await temporaryFolder()).path);";

test.skipIf(process.platform === "win32")("is private, without symlinks, and gone at exit", async () => {
  const alias = `${root}-alias`;
  await symlink(root, alias);
  const out = await run(
    `const f = await temporaryFolder(); const { statSync } = await import("node:fs");
     process.stdout.write(f.path + " " + (statSync(f.path).mode & 0o777).toString(8)); process.exit(3);`,
    alias,
  );
  await rm(alias);
  const [path, mode] = out.split(" ");
  expect(path).toContain(`${root}/pare-`);
  expect(mode).toBe("700");
  expect(existsSync(path!)).toBe(false);
});

test.skipIf(process.platform === "win32")("what a killed process left goes when the next one asks", async () => {
  const left = await run(`${print} setInterval(() => {}, 1000);`, root, true);
  expect((await stat(left)).isDirectory()).toBe(true);
  await run(print);
  expect(await readdir(root)).toEqual([]);
});

test.skipIf(process.platform === "win32")("remove may be called twice", async () => {
  await run(`const f = await temporaryFolder(); await f.remove(); await f.remove(); process.stdout.write("done");`);
  expect(await readdir(root)).toEqual([]);
});
