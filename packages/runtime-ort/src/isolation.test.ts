import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { dataOf, lazyTensor, type Model, tensor } from "@pare/core";
import { afterEach, beforeEach, expect, test } from "vitest";
import { accumulator, children, endless, folders, linear } from "../test/models.ts";
import { ort } from "./index.node.ts";

const code = (c: string) => expect.objectContaining({ code: c });
const runtime = ort();
const x = tensor("float32", [1, 4], [1, 2, 3, 4]);
const forever = { times: tensor("int64", [], [2 ** 52]), x: tensor("float32", [1], [0]) };
const thrice = { ...forever, times: tensor("int64", [], [3]) };
const soon = (ms = 200) => new Promise((done) => setTimeout(done, ms));
const nothingLeft = () => {
  expect(children()).toEqual([]);
  expect(folders()).toEqual([]);
};
beforeEach(nothingLeft);
afterEach(nothingLeft);

test("the event loop runs on while the engine runs", async () => {
  const session = await runtime.prepare(endless());
  let ticks = 0;
  const timer = setInterval(() => ticks++, 5);
  await session.run({ ...forever, times: tensor("int64", [], [200_000]) });
  clearInterval(timer);
  expect(ticks).toBeGreaterThan(5);
  await session.close();
});

test("an abort ends a run at once, with the reason; the next run starts anew", async () => {
  const session = await runtime.prepare(endless());
  const controller = new AbortController();
  const run = session.run(forever, { signal: controller.signal });
  const waiting = session.run(thrice);
  const { pid } = session;
  await soon();
  controller.abort(new Error("enough"));
  await expect(run).rejects.toThrow("enough");
  expect(children()).not.toContain(pid);
  expect([...dataOf((await waiting)["y"]!)]).toEqual([3]);
  expect(session.pid).not.toBe(pid);
  await session.close();
});

test("a run that is aborted before its turn does not disturb the others", async () => {
  const session = await runtime.prepare(endless());
  const { pid } = session;
  const first = session.run({ ...forever, times: tensor("int64", [], [100_000]) });
  const controller = new AbortController();
  const second = session.run(thrice, { signal: controller.signal });
  controller.abort(new Error("not needed"));
  await expect(second).rejects.toThrow("not needed");
  await expect(session.run(thrice, { signal: AbortSignal.abort(new Error("never")) })).rejects.toThrow("never");
  expect([...dataOf((await first)["y"]!)]).toEqual([100_000]);
  expect(session.pid).toBe(pid);
  await session.close();
});

test("a time-out is an error of its own", async () => {
  const session = await runtime.prepare(endless());
  await expect(session.run(forever, { timeout: 300 })).rejects.toThrow(code("ort/timeout"));
  await expect(session.measure(forever, { timeout: 300 })).rejects.toThrow(code("ort/timeout"));
  expect([...dataOf((await session.run(thrice, { timeout: 20_000 }))["y"]!)]).toEqual([3]);
  await session.close();
});

test("an abort ends prepare at any moment, and nothing is left", async () => {
  await expect(runtime.prepare(linear(), { signal: AbortSignal.abort(new Error("before")) })).rejects.toThrow("before");
  for (const wait of [0, 1, 20, 60, 120]) {
    const controller = new AbortController();
    const prepared = runtime.prepare(linear(), { signal: controller.signal });
    setTimeout(() => controller.abort(new Error("during")), wait);
    await prepared.then(
      (session) => session.close(),
      (error) => expect(error).toEqual(new Error("during")),
    );
    nothingLeft();
  }
});

test("an abort ends prepare while weights that do not come are written", async () => {
  const m = linear();
  const stuck = lazyTensor({
    dtype: "float32",
    shape: [4, 3],
    read: (_, signal) => new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason))),
  });
  const hanging: Model = { ...m, graph: { ...m.graph, weights: new Map([...m.graph.weights, ["w", stuck]]) } };
  const controller = new AbortController();
  const prepared = runtime.prepare(hanging, { signal: controller.signal });
  await soon();
  controller.abort(new Error("during"));
  await expect(prepared).rejects.toThrow("during");
});

test.each(["SIGKILL", "SIGSEGV", "SIGABRT"] as const)(
  "a crash (%s) is an error, and the next run works",
  async (signal) => {
    const session = await runtime.prepare(endless());
    const run = session.run(forever);
    await soon();
    process.kill(session.pid!, signal);
    await expect(run).rejects.toThrow(code("ort/crashed"));
    await expect(run).rejects.toThrow(signal);
    expect([...dataOf((await session.run(thrice))["y"]!)]).toEqual([3]);
    await session.close();
  },
);

test("a crash between runs goes unnoticed but for state, whose loss is said", async () => {
  const plain = await runtime.prepare(linear());
  const before = await plain.run({ x });
  process.kill(plain.pid!, "SIGKILL");
  await soon();
  expect(plain.pid).toBeUndefined();
  expect(await plain.run({ x })).toMatchObject({ y: { bytes: before["y"]!.bytes } });
  await plain.close();

  const f = (...v: number[]) => tensor("float32", [2], v);
  const session = await runtime.prepare(accumulator(), { state: { next: "total" }, initialState: { total: f(0, 0) } });
  await session.run({ x: f(1, 1) });
  process.kill(session.pid!, "SIGKILL");
  await soon();
  await expect(session.run({ x: f(1, 1) })).rejects.toThrow(code("ort/state-lost"));
  await session.close();
});

test("close ends a run under way and those that wait", async () => {
  const session = await runtime.prepare(endless());
  const runs = Promise.allSettled([session.run(forever), session.run(thrice)]);
  await soon();
  await session.close();
  for (const run of await runs) expect(run).toMatchObject({ status: "rejected", reason: { code: "ort/closed" } });
});

test("sessions run side by side, and one that crashes leaves the others alone", async () => {
  const sessions = await Promise.all(Array.from({ length: 4 }, () => runtime.prepare(endless())));
  expect(new Set(sessions.map((s) => s.pid)).size).toBe(4);
  const run = sessions[0]!.run(forever);
  await soon(50);
  process.kill(sessions[0]!.pid!, "SIGKILL");
  await expect(run).rejects.toThrow(code("ort/crashed"));
  for (const s of sessions.slice(1)) expect([...dataOf((await s.run(thrice))["y"]!)]).toEqual([3]);
  await Promise.all(sessions.map((s) => s.close()));
});

test("50 times prepare and close leave no process and no folder", async () => {
  for (let i = 0; i < 10; i++) {
    const sessions = await Promise.all(Array.from({ length: 5 }, () => runtime.prepare(linear())));
    if (i % 2) await Promise.all(sessions.map((s) => s.run({ x })));
    await Promise.all(sessions.map((s) => s.close()));
    nothingLeft();
  }
}, 60_000);

test("large values cross the boundary whole", async () => {
  const session = await runtime.prepare(linear());
  const rows = 2_000_000;
  const data = new Float32Array(rows * 4).fill(1);
  data.set([1, 2, 3, 4], (rows - 1) * 4);
  const { y } = await session.run({ x: tensor("float32", [rows, 4], data) });
  expect(y?.byteLength).toBe(rows * 12);
  const last = await session.run({ x });
  expect(y?.bytes.slice(-12)).toEqual(last["y"]?.bytes);
  await session.close();
});

/** Starts a program that opens a session and prints the child's id and folder, then does `rest`. */
async function program(rest: string, kill?: NodeJS.Signals) {
  const from = (path: string) => JSON.stringify(fileURLToPath(new URL(path, import.meta.url)));
  const script = `
    const { ort } = await import(${from("../dist/index.node.js")});
    const { attr, graph, model, node, tensor, value } = await import(${from("../../core/dist/index.js")});
    const { readdirSync } = await import("node:fs");
    const body = graph({ name: "body",
      inputs: [value("i", "int64", []), value("go", "bool", []), value("v", "float32", [1])],
      outputs: [value("go_on", "bool", []), value("v_next", "float32", [1])],
      nodes: [node("Identity", ["go"], ["go_on"]), node("Add", ["v", "v"], ["v_next"])] });
    const session = await ort().prepare(model(graph({
      inputs: [value("times", "int64", []), value("x", "float32", [1])], outputs: [value("y", "float32", [1])],
      weights: new Map([["yes", tensor("bool", [], [1])]]),
      nodes: [node("Loop", ["times", "yes", "x"], ["y"], { body: attr.graph(body) })] }), { opsets: new Map([["", 17]]) }));
    const forever = { times: tensor("int64", [], [2 ** 52]), x: tensor("float32", [1], [1]) };
    const folder = readdirSync(process.env.TMPDIR ?? "/tmp").find((f) => f.startsWith("pare-") && f.includes("-" + process.pid + "-"));
    process.stdout.write(session.pid + " " + (process.env.TMPDIR ?? "/tmp") + "/" + folder);
    ${rest}`;
  const parent = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const out = await new Promise<string>((done, fail) => {
    parent.stdout.once("data", (d) => done(String(d)));
    parent.once("exit", (code) => fail(new Error(`the program ended with ${code} before it had a session`)));
  });
  if (kill) {
    await soon();
    parent.kill(kill);
  }
  if (parent.exitCode === null && parent.signalCode === null) await new Promise((done) => parent.once("exit", done));
  const [pid, folder] = out.split(" ");
  return { pid: Number(pid), folder: folder! };
}
const running = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

test("a program that forgets to close ends, and its engine and folder with it", async () => {
  const { pid, folder } = await program("");
  for (let i = 0; i < 50 && running(pid); i++) await soon(100);
  expect([running(pid), existsSync(folder)]).toEqual([false, false]);
});

test("a program that is killed during a run takes its engine and folder along", async () => {
  const { pid, folder } = await program("await session.run(forever);", "SIGKILL");
  for (let i = 0; i < 100 && (running(pid) || existsSync(folder)); i++) await soon(100);
  expect([running(pid), existsSync(folder)]).toEqual([false, false]);
});
