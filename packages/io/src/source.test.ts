import { appendFile, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { memorySource } from "@pare/core";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openSource, siblingOpener } from "./index.node.ts";
import * as browser from "./index.ts";

const content = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
const range = { offset: 100, length: 50 };
const code = (c: string) => expect.objectContaining({ code: c });
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pare-io-"));
  await writeFile(join(folder, "f"), content);
});
afterEach(() => rm(folder, { recursive: true }));

test("every kind of source reads the same ranges and refuses those outside", async () => {
  const path = join(folder, "f");
  for (const from of [
    path,
    pathToFileURL(path),
    pathToFileURL(path).href,
    content,
    new Blob([content]),
    memorySource(content),
  ]) {
    const source = await openSource(from);
    expect(source.byteLength).toBe(1000);
    expect(await source.read(range)).toEqual(content.slice(100, 150));
    expect(await source.read({ offset: 1000, length: 0 })).toEqual(new Uint8Array());
    for (const bad of [
      { offset: 990, length: 11 },
      { offset: -1, length: 1 },
      { offset: 2 ** 53, length: 1 },
    ])
      await expect(source.read(bad)).rejects.toThrow(code("core/range"));
    await expect(source.read(range, AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
    await source.close();
    await source.close();
  }
});

describe("a file", () => {
  test("whose read is aborted rejects with the signal's own reason, before and during", async () => {
    const source = await openSource(join(folder, "f"));
    const controller = new AbortController();
    const reading = source.read(range, controller.signal);
    controller.abort();
    expect(await reading.catch((e: unknown) => e)).toBe(controller.signal.reason);
    expect(await source.read(range, controller.signal).catch((e: unknown) => e)).toBe(controller.signal.reason);
    const opening = openSource(join(folder, "f"), { signal: controller.signal });
    expect(await opening.catch((e: unknown) => e)).toBe(controller.signal.reason);
    await source.close();
  });

  test("that changes in place fails the next read", async () => {
    for (const change of [() => appendFile(join(folder, "f"), "x"), () => writeFile(join(folder, "f"), "short")]) {
      const source = await openSource(join(folder, "f"));
      await source.read(range);
      await new Promise((done) => setTimeout(done, 20));
      await change();
      await expect(source.read({ offset: 0, length: 4 })).rejects.toThrow(code("io/changed"));
      await source.close();
    }
  });

  test("that another is renamed over stays what it was", async () => {
    const source = await openSource(join(folder, "f"));
    await writeFile(join(folder, "g"), "other");
    await rename(join(folder, "g"), join(folder, "f"));
    expect(await source.read(range)).toEqual(content.slice(100, 150));
    await source.close();
    expect(await readFile(join(folder, "f"), "utf8")).toBe("other");
  });

  test("that is missing, a folder, or closed gives an error that names it", async () => {
    await expect(openSource(join(folder, "none"))).rejects.toThrow(/io\/not-found.*none/);
    await expect(openSource(folder)).rejects.toThrow(code("io/not-a-file"));
    const source = await openSource(join(folder, "f"));
    await source.close();
    await expect(source.read(range)).rejects.toThrow(code("io/closed"));
  });
});

describe("http", () => {
  let server: Server;
  let answer: RequestListener;
  let url: string;
  let etag: string;
  const ranges: RequestListener = (request, response) => {
    const [, from, to] = (/bytes=(\d+)-(\d+)/.exec(request.headers.range ?? "") ?? []).map(Number);
    const part = content.slice(from, to! + 1);
    response.writeHead(206, { etag, "content-range": `bytes ${from}-${from! + part.length - 1}/1000` });
    response.end(part);
  };
  beforeEach(async () => {
    answer = ranges;
    etag = '"1"';
    server = createServer((request, response) => answer(request, response));
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const address = server.address();
    url = `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}/models/m.onnx`;
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  test("reads by Range requests, in both builds", async () => {
    for (const open of [openSource, browser.openSource]) {
      const source = await open(url);
      expect(source.byteLength).toBe(1000);
      expect(await source.read(range)).toEqual(content.slice(100, 150));
      await source.close();
      await expect(source.read(range)).rejects.toThrow(code("io/closed"));
    }
  });

  test("a server that ignores ranges is said to", async () => {
    answer = (_, response) => response.end(content);
    await expect(openSource(url)).rejects.toThrow(code("io/no-ranges"));
  });

  test("another ETag is a change", async () => {
    const source = await openSource(url);
    etag = '"2"';
    await expect(source.read(range)).rejects.toThrow(code("io/changed"));
  });

  test.each([
    ["another range", 206, "bytes 0-49/1000", content.slice(0, 50), "io/http"],
    ["too few bytes", 206, "bytes 100-149/1000", content.slice(0, 10), "io/http"],
    ["too many bytes", 206, "bytes 100-149/1000", content, "io/http"],
    ["another size", 206, "bytes 100-149/2000", content.slice(0, 50), "io/changed"],
    ["no Content-Range", 206, undefined, content.slice(0, 50), "io/no-ranges"],
    ["nonsense as Content-Range", 206, "bytes 5-x/*", content.slice(0, 50), "io/no-ranges"],
    ["everything", 200, undefined, content, "io/no-ranges"],
    ["a failure", 500, undefined, content.slice(0, 0), "io/http"],
  ])("an answer with %s is refused", async (_, status, contentRange, body, expected) => {
    const source = await openSource(url);
    answer = (_request, response) => {
      response.writeHead(status, { etag, ...(contentRange ? { "content-range": contentRange } : {}) });
      response.end(body);
    };
    await expect(source.read(range)).rejects.toThrow(code(expected));
  });

  test("an abort ends a read that hangs", async () => {
    const source = await openSource(url);
    const controller = new AbortController();
    answer = () => controller.abort(new Error("enough"));
    await expect(source.read(range, controller.signal)).rejects.toThrow("enough");
  });

  test("siblings come from beside the URL and cannot leave it", async () => {
    const seen: (string | undefined)[] = [];
    answer = (request, response) => {
      seen.push(request.url);
      ranges(request, response);
    };
    await siblingOpener(url)("a b?/w#1.bin");
    expect(seen).toEqual(["/models/a%20b%3F/w%231.bin"]);
    expect(() => siblingOpener(url)("../../etc")).toThrow(code("io/file-name"));
  });
});
