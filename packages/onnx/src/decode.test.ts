import { type ByteSource, isPareError } from "@pare/core";
import { describe, expect, test } from "vitest";
import { decode } from "./decode.ts";
import { readDocument } from "./document.ts";
import type { Message, OnnxDocument, Stored } from "./proto.ts";
import {
  bytesOf,
  bytesOfMessage,
  concat,
  fileLike,
  lengthDelimited,
  richDocument,
  sameBytes,
  varint,
} from "./test/fixtures.ts";

const failureOf = async (run: Promise<unknown>) => {
  const error = await run.then(
    () => undefined,
    (e: unknown) => e,
  );
  if (!isPareError(error)) throw new Error(`expected a PareError, not ${error}`);
  return error;
};

describe("what protobuf allows", () => {
  test("lists packed or not, in pieces, are one list", async () => {
    const ints = concat(
      varint(8 * 8),
      varint(1),
      lengthDelimited(8, [...varint(2), ...varint(-3)]),
      varint(8 * 8),
      varint(4),
    );
    expect(await decode(fileLike(ints), "AttributeProto")).toEqual({ ints: [1, 2, -3, 4] });
    const one = new Uint8Array(Float32Array.of(1).buffer);
    const two = new Uint8Array(Float32Array.of(2, 3).buffer);
    const floats = concat([7 * 8 + 5], one, lengthDelimited(7, two));
    expect(await decode(fileLike(floats), "AttributeProto")).toEqual({ floats: Float32Array.of(1, 2, 3) });
    const data = concat([4 * 8 + 5], one, lengthDelimited(4, two));
    expect(await decode(fileLike(data), "TensorProto")).toEqual({ float_data: concat(one, two) });
  });

  test("of a scalar given twice the last counts, of a message all of it, of a oneof the last member", async () => {
    const twice = concat(lengthDelimited(3, [97]), lengthDelimited(3, [98]));
    expect(await decode(fileLike(twice), "NodeProto")).toEqual({ name: "b" });
    const merged = concat(
      lengthDelimited(5, lengthDelimited(8, [97])),
      lengthDelimited(5, concat([2 * 8], [1], lengthDelimited(4, [0, 0, 128, 63]))),
      lengthDelimited(5, lengthDelimited(4, [0, 0, 0, 64])),
    );
    expect(await decode(fileLike(merged), "AttributeProto")).toEqual({
      t: { name: "a", data_type: 1, float_data: Uint8Array.of(0, 0, 128, 63, 0, 0, 0, 64) },
    });
    const dim = concat(lengthDelimited(2, [78]), [8], [5]);
    expect(await decode(fileLike(dim), "Dimension")).toEqual({ dim_value: 5 });
  });

  test("unknown fields, groups and known numbers of another type are kept as bytes", async () => {
    const unknown = concat(
      varint(100 * 8),
      varint(5),
      lengthDelimited(101, [1, 2]),
      [...varint(102 * 8 + 5), 1, 2, 3, 4],
      [...varint(103 * 8 + 1), 1, 2, 3, 4, 5, 6, 7, 8],
      [...varint(104 * 8 + 3), ...varint(8), 1, ...varint(104 * 8 + 4)],
      [3 * 8, 7], // the name of a node as an integer
    );
    expect(await decode(fileLike(concat(unknown, lengthDelimited(4, [65]))), "NodeProto")).toEqual({
      op_type: "A",
      unknown,
    });
  });
});

describe("what is damaged", () => {
  test("each cut of a model is an error that names the byte, or a whole message", async () => {
    const whole = await bytesOfMessage("ModelProto", richDocument());
    let errors = 0;
    for (let length = 0; length < whole.length; length++) {
      const cut = whole.slice(0, length);
      const read = await decode(fileLike(cut), "ModelProto").catch((e: unknown) => e);
      if (!isPareError(read)) {
        expect(sameBytes(await bytesOfMessage("ModelProto", read as OnnxDocument), cut)).toBe(true);
        continue;
      }
      errors++;
      expect(read.code).toBe("onnx/truncated");
      expect(read.diagnostics[0]!.location!.file).toBe("model.onnx");
      expect(read.diagnostics[0]!.location!.offset).toBeLessThanOrEqual(length);
    }
    expect(errors).toBeGreaterThan(whole.length * 0.9);
  });

  test("an error says where: the byte and the path of fields", async () => {
    const node = lengthDelimited(1, lengthDelimited(5, concat([1 * 8 + 2], [50], [97])));
    const error = await failureOf(
      decode(fileLike(lengthDelimited(7, concat(lengthDelimited(1, []), node))), "ModelProto"),
    );
    expect(error.code).toBe("onnx/truncated");
    expect(error.message).toContain("graph.node[1].attribute[0].name");
    expect(error.diagnostics[0]!.location).toEqual({ file: "model.onnx", offset: 9 });
  });

  test("integers above 64 bits, tags that are none, lists that hold no whole elements", async () => {
    const codes = async (bytes: Uint8Array, name: "TensorProto" | "NodeProto" = "TensorProto") =>
      (await failureOf(decode(fileLike(bytes), name))).code;
    expect(await codes(concat([16], Array(10).fill(255), [1]))).toBe("onnx/varint");
    expect(await codes(concat([16], Array(9).fill(255), [2]))).toBe("onnx/varint");
    expect(await codes(Uint8Array.of(0, 1))).toBe("onnx/tag");
    expect(await codes(Uint8Array.of(0x0f, 1))).toBe("onnx/tag");
    expect(await codes(Uint8Array.of(0x0c), "NodeProto")).toBe("onnx/tag");
    expect(await codes(lengthDelimited(4, [1, 2, 3]))).toBe("onnx/packed");
    expect(await codes(lengthDelimited(10, [1, 2, 3, 4]))).toBe("onnx/packed");
    expect(await codes(lengthDelimited(7, [1, 255]))).toBe("onnx/truncated");
    expect(await codes(concat([74], varint(2n ** 63n), [1]))).toBe("onnx/truncated");
  });

  test("other files are named", async () => {
    const text = (s: string) => fileLike(new TextEncoder().encode(s));
    for (const head of [
      "version https://git-lfs.github.com/spec/v1\n",
      "<!DOCTYPE html>",
      "PK\x03\x04rest",
      "\0\0\0\0TFL3",
      "\0\0\0\0ORTM",
    ])
      expect((await failureOf(readDocument(text(head)))).code).toBe("onnx/not-onnx");
  });
});

describe("bombs", () => {
  test("5,000 nested graphs are refused, 60 are read", async () => {
    const nested = (levels: number) => {
      let graph = new Uint8Array(0);
      for (let i = 0; i < levels; i++) graph = lengthDelimited(1, lengthDelimited(5, lengthDelimited(6, graph)));
      return lengthDelimited(7, graph);
    };
    expect((await failureOf(decode(fileLike(nested(5000)), "ModelProto"))).code).toBe("onnx/too-deep");
    const read = await decode(fileLike(nested(60)), "ModelProto");
    expect(sameBytes(await bytesOfMessage("ModelProto", read), nested(60))).toBe(true);
  });

  test("nested groups and nested types are refused", async () => {
    const groups = new Uint8Array(100_000).fill(0x4b); // start of group 9
    expect((await failureOf(decode(fileLike(groups), "StringStringEntryProto"))).code).toBe("onnx/too-deep");
    let type = new Uint8Array(0);
    for (let i = 0; i < 3000; i++) type = lengthDelimited(4, lengthDelimited(1, type));
    expect((await failureOf(decode(fileLike(type), "TypeProto"))).code).toBe("onnx/too-deep");
  });

  test("floods of integers, empty messages and unknown fields end at the memory limit", async () => {
    const memoryLimit = 1 << 20;
    const flood = async (bytes: Uint8Array, name: "AttributeProto" | "GraphProto" | "NodeProto") =>
      (await failureOf(decode(fileLike(bytes), name, { memoryLimit }))).code;
    expect(await flood(lengthDelimited(8, new Uint8Array(300_000)), "AttributeProto")).toBe("onnx/too-large");
    expect(
      await flood(
        new Uint8Array(40_000).map((_, i) => (i % 2 ? 0 : 10)),
        "GraphProto",
      ),
    ).toBe("onnx/too-large");
    expect(
      await flood(
        new Uint8Array(200_000).map((_, i) => (i % 2 ? 0 : 0x78)),
        "NodeProto",
      ),
    ).toBe("onnx/too-large");
    expect(
      await flood(
        new Uint8Array(40_000).map((_, i) => (i % 2 ? 0 : 10)),
        "NodeProto",
      ),
    ).toBe("onnx/too-large");
  });

  test("what is within the limit is read in one pass, elements one by one too", async () => {
    const one = new Uint8Array(Float32Array.of(1).buffer);
    const list = new Uint8Array(5 * 100_000);
    for (let i = 0; i < 100_000; i++) list.set([7 * 8 + 5, ...one], 5 * i);
    const read = await decode(fileLike(list), "AttributeProto");
    expect(read.floats!.length).toBe(100_000);
    expect(sameBytes(await bytesOfMessage("AttributeProto", read), list)).toBe(true);
  });
});

describe("large data stays in the file", () => {
  const header = (length: number) => [...varint(9 * 8 + 2), ...varint(length)];

  test("up to 64 KiB is in memory, more is read when asked for", async () => {
    const data = Uint8Array.from({ length: 200_000 }, (_, i) => i * 7);
    const doc: OnnxDocument = {
      graph: {
        initializer: [65536, 65537, 200_000].map((n) => ({
          name: `t${n}`,
          data_type: 2,
          dims: [n],
          raw_data: data.slice(0, n),
        })),
      },
    };
    const written = await bytesOfMessage("ModelProto", doc);
    const source = fileLike(written);
    const read = await decode(source, "ModelProto");
    const [small, medium, large] = read.graph!.initializer!;
    expect(sameBytes(small!.raw_data as Uint8Array, data.slice(0, 65536))).toBe(true);
    expect(medium!.raw_data).not.toBeInstanceOf(Uint8Array);
    source.reads.length = 0;
    const stored = large!.raw_data as Stored;
    expect(await stored.read({ offset: 199_990, length: 10 })).toEqual(data.slice(199_990));
    expect(source.reads).toEqual([{ offset: expect.any(Number), length: 10 }]);
    expect((await failureOf(stored.read({ offset: 199_990, length: 11 }))).code).toBe("core/range");
    expect(sameBytes(await bytesOfMessage("ModelProto", read), written)).toBe(true);
  });

  test("a packed list in large pieces is one list", async () => {
    const piece = (n: number) =>
      lengthDelimited(4, new Uint8Array(Float32Array.from({ length: n }, (_, i) => i + n).buffer));
    const parts = [piece(20_000), piece(2), piece(30_000)];
    const read = await decode(fileLike(concat(...parts)), "TensorProto");
    const all = await bytesOf(read.float_data!);
    expect(all.length).toBe(4 * 50_002);
    expect([...new Float32Array(all.buffer, 4 * 19_999, 4)]).toEqual([39_999, 2, 3, 30_000]);
  });

  test("a file of 6 GiB is decoded with a few small reads, and read beyond 4 GiB", async () => {
    const big = 6 * 2 ** 30;
    const after = await bytesOfMessage("GraphProto", { name: "after", node: [{ op_type: "Relu" }] });
    const tensorHead = concat(lengthDelimited(8, [119]), header(big));
    const tensorLength = tensorHead.length + big;
    const graphHead = concat(varint(5 * 8 + 2), varint(tensorLength), tensorHead);
    const graphLength = graphHead.length + big + after.length;
    const head = concat(varint(7 * 8 + 2), varint(graphLength), graphHead);
    const byteLength = head.length + big + after.length;
    let moved = 0;
    const source: ByteSource = {
      name: "big.onnx",
      byteLength,
      async read({ offset, length }) {
        moved += length;
        const out = new Uint8Array(length);
        for (let i = 0; i < length; i++) {
          const at = offset + i;
          out[i] = at < head.length ? head[at]! : at < head.length + big ? at % 251 : after[at - head.length - big]!;
        }
        return out;
      },
      async close() {},
    };
    const doc = await decode(source, "ModelProto");
    expect(doc.graph!.name).toBe("after");
    expect(doc.graph!.node).toEqual([{ op_type: "Relu" }]);
    expect(moved).toBeLessThan(1 << 17);
    const offset = 5 * 2 ** 30;
    const raw = doc.graph!.initializer![0]!.raw_data as Stored;
    expect([...(await raw.read({ offset, length: 2 }))]).toEqual([
      (offset + head.length) % 251,
      (offset + head.length + 1) % 251,
    ]);
  });

  test("what was decoded from a window does not keep or share it", async () => {
    const bytes = Buffer.from(await bytesOfMessage("TensorProto", { raw_data: Uint8Array.of(1, 2, 3) }));
    const read: Message<"TensorProto"> = await decode(
      { ...fileLike(bytes), read: async (r) => bytes.subarray(r.offset, r.offset + r.length) },
      "TensorProto",
    );
    bytes.fill(0);
    expect(read.raw_data).toEqual(Uint8Array.of(1, 2, 3));
    expect((read.raw_data as Uint8Array).buffer.byteLength).toBe(3);
  });
});

test("an abort stops it", async () => {
  const stop = AbortSignal.abort(new Error("enough"));
  await expect(decode(fileLike(new Uint8Array(3)), "ModelProto", { signal: stop })).rejects.toThrow("enough");
});

test("a graph of 100,000 nodes is read", async () => {
  const node = Array.from({ length: 100_000 }, (_, i) => ({
    input: [`v${i}`],
    output: [`v${i + 1}`],
    op_type: "LeakyRelu",
    attribute: [{ name: "alpha", type: 1, f: 0.5 }],
  }));
  const written = await bytesOfMessage("ModelProto", { graph: { node } });
  const read = await decode(fileLike(written), "ModelProto");
  expect(read.graph!.node!.length).toBe(100_000);
  expect(sameBytes(await bytesOfMessage("ModelProto", read), written)).toBe(true);
});
