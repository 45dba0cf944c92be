import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeOnnx } from "@pare/onnx";
import { afterAll, beforeAll, expect, test } from "vitest";
import { large } from "./test-models.ts";

const cli = fileURLToPath(new URL("../dist/cli.js", import.meta.url));
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pare-interrupt-test-"));
  await writeOnnx(large(6, 16), join(folder, "large.onnx"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Runs the built command, interrupts it once `when` stands on stderr, and tells its end and the processes it had. */
function interrupted(argv: string[], when: RegExp): Promise<{ code: number | null; err: string; children: number[] }> {
  expect(existsSync(cli), "build the package first").toBe(true);
  const child = spawn(process.execPath, [cli, ...argv], { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
  let err = "";
  let children: number[] = [];
  let sent = false;
  child.stderr.on("data", (text) => {
    err += text;
    if (sent || !when.test(err)) return;
    sent = true;
    children = childrenOf(child.pid!);
    child.kill("SIGINT");
  });
  return new Promise((done) => child.once("close", (code) => done({ code, err, children })));
}

/** Where the system tells (Linux). */
const childrenOf = (pid: number): number[] => {
  const file = `/proc/${pid}/task/${pid}/children`;
  return existsSync(file) ? readFileSync(file, "utf8").trim().split(" ").filter(Boolean).map(Number) : [];
};
const alive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return !existsSync("/proc") || !/\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
};

test.each([
  ["as it writes", ["compress", "large.onnx", "--int8-weights", "-o", "result.onnx"], /write result/],
  ["as it compares", ["compress", "large.onnx", "--int8-weights", "-o", "result.onnx"], /compare result/],
  ["as it measures", ["bench", "large.onnx", "--seconds", "600"], /bench large/],
])("an interrupt %s leaves nothing behind", async (_, argv, when) => {
  const { code, err, children } = await interrupted(argv, when);
  expect(err).toContain("interrupted");
  expect(code).toBe(130);
  expect(await readdir(folder)).toEqual(["large.onnx"]);
  expect(children.filter(alive)).toEqual([]);
});

test("what a killed process left is gone after the next one", async () => {
  const child = spawn(process.execPath, [cli, "compress", "large.onnx", "--int8-weights", "-o", "result.onnx"], {
    cwd: folder,
    stdio: ["ignore", "ignore", "pipe"],
  });
  child.stderr.on("data", (text) => String(text).includes("write result") && child.kill("SIGKILL"));
  await new Promise((done) => child.once("close", done));
  expect((await readdir(folder)).filter((f) => f.startsWith(".pare-"))).toHaveLength(1);
  const { code } = await interrupted(
    ["compress", "large.onnx", "--int8-weights", "-o", "result.onnx"],
    /compare result/,
  );
  expect(code).toBe(130);
  expect(await readdir(folder)).toEqual(["large.onnx"]);
});

test("a reader who leaves early is no failure", async () => {
  const shell = spawn("/bin/sh", ["-c", `"${process.execPath}" "${cli}" inspect large.onnx | true; echo done`], {
    cwd: folder,
  });
  let out = "";
  let err = "";
  shell.stdout.on("data", (s) => (out += s));
  shell.stderr.on("data", (s) => (err += s));
  await new Promise((done) => shell.once("close", done));
  expect({ out, err }).toEqual({ out: "done\n", err: "" });
});
