import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { dataOf, tensor } from "@pare/core";
import { toCore } from "@pare/tflite";
import { expect, test } from "vitest";
import { dense, endless } from "../test/models.ts";
import { litert } from "./index.ts";
import { withBrowserGlobals } from "./load.node.ts";

const code = (c: string) => expect.objectContaining({ code: c });
const wasm = `${join(dirname(createRequire(import.meta.url).resolve("@litertjs/core")), "..", "wasm")}/`;

test("the build for browsers runs models from memory, in open shapes too, with inner values", async () => {
  const runtime = litert({ wasm });
  const session = await withBrowserGlobals(() => runtime.prepare(toCore(dense()), { taps: ["h"] }));
  for (const rows of [2, 1]) {
    const x = tensor("float32", [rows, 2], Array.from({ length: rows }, () => [1, -1]).flat());
    const { y, h } = await session.run({ x });
    expect([...dataOf(y!)].slice(-3)).toEqual([0, 0, 10]);
    expect([...dataOf(h!)].slice(-3)).toEqual([-3, -7, 10]);
    expect(y!.shape).toEqual([rows, 3]);
  }
  await session.close();
});

test("two sessions share the engine, and each closes for itself", async () => {
  const runtime = litert({ wasm });
  const [a, b] = await Promise.all([runtime.prepare(toCore(endless())), runtime.prepare(toCore(endless()))]);
  const thrice = { times: tensor("int32", [1], [3]), x: tensor("float32", [1], [0]) };
  await a.close();
  expect([...dataOf((await b.run(thrice))["x'"]!)]).toEqual([3]);
  await expect(a.run(thrice)).rejects.toThrow(code("litert/closed"));
  await b.close();
});

test("it says what it needs", () => {
  expect(() => litert()).toThrow(/wasm/);
  expect(() => litert({ wasm, isolate: true })).toThrow(code("litert/options"));
});
