import {
  type FileSink,
  graph,
  isPareError,
  lazyTensor,
  type Model,
  model as makeModel,
  node,
  tensor,
  value,
} from "@pare/core";
import { memorySink } from "@pare/io";
import { describe, expect, test } from "vitest";
import { onnxExporter } from "./exporter.ts";
import { openOnnx, writeOnnx } from "./open.ts";
import { fileLike, sameBytes } from "./test/fixtures.ts";

const MiB = 1 << 20;

/** A weight that is nowhere: its bytes are computed when asked for. */
const synthetic = (megabytes: number, onRead: (offset: number, length: number) => void = () => {}) =>
  lazyTensor({
    dtype: "uint8",
    shape: [megabytes * MiB],
    async read({ offset, length }, signal) {
      signal?.throwIfAborted();
      onRead(offset, length);
      const out = new Uint8Array(length);
      for (let i = (4096 - (offset % 4096)) % 4096; i < length; i += 4096) out[i] = ((offset + i) / 4096) % 251;
      return out;
    },
  });

const withWeights = (weights: Record<string, ReturnType<typeof synthetic>>): Model =>
  makeModel(
    graph({
      inputs: [value("x", "float32", [1])],
      outputs: [value("y", "float32", [1])],
      weights: new Map(Object.entries(weights)),
      nodes: [node("Relu", ["x"], ["y"])],
    }),
    { opsets: new Map([["", 17]]) },
  );

const siblings = (files: ReadonlyMap<string, Uint8Array>) => async (name: string) => fileLike(files.get(name)!, name);

describe("where weights go", () => {
  const weights = () => ({ a: synthetic(2), b: synthetic(1), small: tensor("uint8", [3], [1, 2, 3]) });

  test("into the model by default, while it is small", async () => {
    const sink = memorySink();
    const artifact = await writeOnnx(withWeights(weights()), sink);
    expect(artifact.files.map((f) => f.name)).toEqual(["model.onnx"]);
    expect(artifact.files[0]!.byteLength).toBe(sink.files.get("model.onnx")!.length);
    const back = await openOnnx(sink.files.get("model.onnx")!, { upgrade: false });
    expect(sameBytes(await back.model.graph.weights.get("a")!.read(), await synthetic(2).read())).toBe(true);
  });

  test("beside it on request: aligned, in one file, each content once", async () => {
    const sink = memorySink();
    const { a, b, small } = weights();
    const artifact = await writeOnnx(withWeights({ a, b, again: a, small }), sink, {
      externalData: true,
      name: "sub/net.onnx",
    });
    expect(artifact.files.map((f) => f.name)).toEqual(["sub/net.onnx", "sub/net.onnx.data"]);
    const data = sink.files.get("sub/net.onnx.data")!;
    expect(data.length).toBe(3 * MiB);
    const asked: string[] = [];
    const back = await openOnnx(sink.files.get("sub/net.onnx")!, {
      upgrade: false,
      sibling: async (name) => {
        asked.push(name);
        return fileLike(data, name);
      },
    });
    expect(asked).toEqual(["net.onnx.data"]);
    for (const [name, t] of Object.entries({ a, b, again: a, small }))
      expect(sameBytes(await back.model.graph.weights.get(name)!.read(), await t.read())).toBe(true);
  });

  test("each at a multiple of the page size", async () => {
    const sink = memorySink();
    const odd = (n: number) => tensor("uint8", [n], new Uint8Array(n).fill(n % 256));
    await writeOnnx(withWeights({ a: odd(70_001), b: odd(70_002), c: odd(70_003) }), sink, { externalData: true });
    const data = sink.files.get("model.onnx.data")!;
    for (const [offset, n] of [
      [0, 70_001],
      [73_728, 70_002],
      [147_456, 70_003],
    ] as const) {
      expect(offset % 4096).toBe(0);
      expect(data[offset]).toBe(n % 256);
      expect(data[offset + n - 1]).toBe(n % 256);
    }
    expect(data.length).toBe(147_456 + 70_003);
    const back = await openOnnx(sink.files.get("model.onnx")!, { upgrade: false, sibling: siblings(sink.files) });
    expect(back.model.graph.weights.get("c")!.byteLength).toBe(70_003);
  });

  test("2 GiB in one file are refused before a byte is read or written", async () => {
    const reads: number[] = [];
    const big = withWeights({ a: synthetic(2048, (offset) => reads.push(offset)) });
    const sink = memorySink();
    const error = await writeOnnx(big, sink, { externalData: false }).catch((e: unknown) => e);
    expect(isPareError(error) && error.code).toBe("onnx/inline-limit");
    expect(String(error)).toContain("externalData");
    expect(reads).toEqual([]);
    expect(sink.files.size).toBe(0);
  });

  test("above 1.8 GB they go beside the model by themselves, with few pieces in memory at a time", async () => {
    let live = 0;
    let most = 0;
    let total = 0;
    const big = withWeights({
      a: synthetic(1900, (_, length) => {
        live += length;
        most = Math.max(most, live);
      }),
    });
    const names: string[] = [];
    const sink: FileSink = {
      async create(name) {
        names.push(name);
        return {
          async write(bytes) {
            if (name.endsWith(".data")) {
              live -= bytes.length;
              total += bytes.length;
            }
          },
          async close() {},
        };
      },
      async commit() {},
      async abort() {},
    };
    await writeOnnx(big, sink);
    expect(names).toEqual(["model.onnx", "model.onnx.data"]);
    expect(total).toBe(1900 * MiB);
    expect(most).toBeLessThan(16 * MiB);
  });
});

test("the same model and options give the same bytes", async () => {
  const m = withWeights({ a: synthetic(1), b: synthetic(1) });
  for (const externalData of [false, true] as const) {
    const [a, b] = [memorySink(), memorySink()];
    await writeOnnx(m, a, { externalData });
    await writeOnnx(m, b, { externalData });
    for (const [name, bytes] of a.files) expect(sameBytes(bytes, b.files.get(name)!)).toBe(true);
  }
});

test("a failure while reading, and an abort, leave nothing behind", async () => {
  const failing = lazyTensor({
    dtype: "uint8",
    shape: [4 * MiB],
    async read({ offset, length }) {
      if (offset >= 2 * MiB) throw new Error("the disk is gone");
      return new Uint8Array(length);
    },
  });
  for (const externalData of [false, true] as const) {
    const sink = memorySink();
    await expect(writeOnnx(withWeights({ failing }), sink, { externalData })).rejects.toThrow("the disk is gone");
    expect(sink.files.size).toBe(0);
  }
  const stop = new AbortController();
  const sink = memorySink();
  const slow = synthetic(8, (offset) => {
    if (offset >= 3 * MiB) stop.abort(new Error("enough"));
  });
  await expect(writeOnnx(withWeights({ slow }), sink, { signal: stop.signal })).rejects.toThrow("enough");
  expect(sink.files.size).toBe(0);
  await expect(
    writeOnnx(withWeights({ slow }), sink, { signal: AbortSignal.abort(new Error("before")) }),
  ).rejects.toThrow("before");
});

test("progress counts the bytes of all files", async () => {
  const seen: { done: number; total?: number }[] = [];
  const m = withWeights({ a: synthetic(3) });
  const artifact = await writeOnnx(m, memorySink(), { externalData: true, onProgress: (p) => seen.push(p) });
  const total = artifact.files.reduce((n, f) => n + f.byteLength, 0);
  expect(seen.at(-1)).toMatchObject({ done: total, total, unit: "bytes" });
  expect(seen.every((p, i) => i === 0 || p.done >= seen[i - 1]!.done)).toBe(true);
});

test("all problems are reported together, before anything is written", async () => {
  const m = withWeights({});
  const broken: Model = {
    ...m,
    graph: { ...m.graph, nodes: [node("Relu", ["nobody"], ["y"]), node("Relu", ["x"], ["y"])] },
  };
  expect(onnxExporter.check(m)).toEqual([]);
  expect(
    onnxExporter
      .check(broken)
      .map((d) => d.code)
      .sort(),
  ).toEqual(["core/duplicate-value", "core/undefined-value"]);
  const sink = memorySink();
  await expect(writeOnnx(broken, sink)).rejects.toThrow("core/undefined-value");
  expect(sink.files.size).toBe(0);
});
