import { dataOf, tensor } from "@pare/core";
import { afterEach, beforeEach, expect, test } from "vitest";
import { children, dense, endless, fileOf, folders } from "../test/models.ts";
import { litert } from "./index.node.ts";

const code = (c: string) => expect.objectContaining({ code: c });
const runtime = litert();
const forever = { times: tensor("int32", [1], [2 ** 31 - 1]), x: tensor("float32", [1], [0]) };
const thrice = { ...forever, times: tensor("int32", [1], [3]) };
const nothingLeft = () => {
  expect(children()).toEqual([]);
  expect(folders()).toEqual([]);
};
beforeEach(nothingLeft);
afterEach(nothingLeft);
const soon = (ms = 300) => new Promise((done) => setTimeout(done, ms));

test("an abort ends a run at once, with the reason; the next run starts anew", async () => {
  const session = await runtime.prepareFile(await fileOf(endless()));
  const controller = new AbortController();
  const run = session.run(forever, { signal: controller.signal });
  const waiting = session.run(thrice);
  const { pid } = session;
  await soon();
  controller.abort(new Error("enough"));
  await expect(run).rejects.toThrow("enough");
  expect(children()).not.toContain(pid);
  expect([...dataOf((await waiting)["x'"]!)]).toEqual([3]);
  expect(session.pid).not.toBe(pid);
  await session.close();
});

test("a time-out is an error of its own", async () => {
  const session = await runtime.prepareFile(await fileOf(endless()));
  await expect(session.run(forever, { timeout: 300 })).rejects.toThrow(code("litert/timeout"));
  expect([...dataOf((await session.run(thrice))["x'"]!)]).toEqual([3]);
  await session.close();
});

test("a crash is an error, and the next run starts anew", async () => {
  const session = await runtime.prepareFile(await fileOf(endless()));
  const run = session.run(forever);
  await soon();
  process.kill(session.pid!, "SIGSEGV");
  await expect(run).rejects.toThrow(code("litert/crashed"));
  expect([...dataOf((await session.run(thrice))["x'"]!)]).toEqual([3]);
  await session.close();
});

test("an abort ends prepare at any moment, and nothing is left", async () => {
  const path = await fileOf(dense());
  await expect(runtime.prepareFile(path, { signal: AbortSignal.abort(new Error("before")) })).rejects.toThrow("before");
  for (const wait of [0, 5, 40]) {
    const controller = new AbortController();
    const prepared = runtime.prepareFile(path, { signal: controller.signal });
    setTimeout(() => controller.abort(new Error("during")), wait);
    await prepared.then(
      (session) => session.close(),
      (error) => expect(error).toEqual(new Error("during")),
    );
    nothingLeft();
  }
});

test("a file that is no model, or not there, leaves nothing", async () => {
  await expect(runtime.prepareFile("/nowhere/model.tflite")).rejects.toThrow(code("io/not-found"));
  await expect(litert({ module: "no-such-module" }).prepareFile(await fileOf(dense()))).rejects.toThrow(
    code("litert/no-engine"),
  );
});
