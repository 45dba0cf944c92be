import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import * as node from "./index.node.ts";
import * as browser from "./index.ts";

test("both builds export the same names", () => {
  expect(Object.keys(browser).sort()).toEqual(Object.keys(node).sort());
});

test("the build for browsers imports nothing of Node", () => {
  const seen = new Set<string>();
  const walk = (url: URL) => {
    if (seen.has(url.href)) return;
    seen.add(url.href);
    for (const [, from] of readFileSync(url, "utf8").matchAll(/from "([^"]+)"/g)) {
      expect(from).toMatch(/^(\.\/|@pare\/core$)/);
      if (from!.startsWith(".")) walk(new URL(from!, url));
    }
  };
  walk(new URL("./index.ts", import.meta.url));
  expect(seen.size).toBeGreaterThan(4);
});

test("what needs files says what to do instead", async () => {
  const code = expect.objectContaining({ code: "io/no-files" });
  await expect(browser.openSource("model.onnx")).rejects.toThrow(/Pass a Blob/);
  await expect(browser.openSource("model.onnx")).rejects.toThrow(code);
  await expect(browser.writeFileAtomic("a", "b")).rejects.toThrow(code);
  await expect(browser.temporaryFolder()).rejects.toThrow(code);
  expect(() => browser.folderSink("a")).toThrow(code);
  expect(() => browser.folderStore("a")).toThrow(code);
  expect(() => browser.siblingOpener("a/model.onnx")).toThrow(code);
  await expect(browser.openSource("data:,x")).rejects.toThrow(expect.objectContaining({ code: "io/scheme" }));
});
