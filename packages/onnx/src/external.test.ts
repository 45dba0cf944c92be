import { type ByteSource, isPareError, RESIDENT_LIMIT } from "@pare/core";
import { memorySink } from "@pare/io";
import { describe, expect, test } from "vitest";
import { openOnnx, writeOnnx } from "./open.ts";
import type { Message, OnnxDocument } from "./proto.ts";
import { bytesOfMessage, fileLike } from "./test/fixtures.ts";

type Entries = Record<string, string> | readonly (readonly [string, string])[];

const model = (external: Entries, tensor: Message<"TensorProto"> = { dims: [4], data_type: 1 }): OnnxDocument => ({
  ir_version: 8,
  opset_import: [{ version: 17 }],
  graph: {
    name: "g",
    output: [{ name: "y", type: { tensor_type: { elem_type: 1 } } }],
    node: [{ input: ["w"], output: ["y"], op_type: "Relu" }],
    initializer: [
      {
        name: "w",
        ...tensor,
        data_location: 1,
        external_data: (Array.isArray(external) ? external : Object.entries(external)).map(([key, value]) => ({
          key,
          value,
        })),
      },
    ],
  },
});

const values = Float32Array.of(1, 2, 3, 4);
const data = new Uint8Array(values.buffer);

/** A folder in memory that notes what was asked for. */
function folder(files: Record<string, Uint8Array>) {
  const asked: string[] = [];
  const opened: ReturnType<typeof fileLike>[] = [];
  return {
    asked,
    opened,
    sibling: async (name: string): Promise<ByteSource> => {
      asked.push(name);
      const bytes = new Map(Object.entries(files)).get(name);
      if (!bytes) throw new Error(`no ${name}`);
      const file = fileLike(bytes, name);
      opened.push(file);
      return file;
    },
  };
}

async function attack(external: Entries, tensor?: Message<"TensorProto">, file = data) {
  const dir = folder({ "w.bin": file });
  const bytes = await bytesOfMessage("ModelProto", model(external, tensor));
  const error = await openOnnx(bytes, { sibling: dir.sibling }).catch((e: unknown) => e);
  if (!isPareError(error)) throw new Error(`expected a PareError, not ${error}`);
  expect(dir.opened.every((f) => f.closed)).toBe(true);
  return { code: error.code, message: error.message, asked: dir.asked };
}

describe("what is given to a reader by a model that nobody trusts", () => {
  const outside = [
    ["CVE-2022-25882", "../../etc/passwd"],
    ["CVE-2024-27318", "subdir/../../x"],
    ["CVE-2024-5187", "../mymodel_evil/w.bin"],
    ["VA-26-233-01", "a/../w.bin"],
    ["absolute", "/etc/passwd"],
    ["drive letter", "C:\\secrets"],
    ["drive letter without a slash", "c:secrets"],
    ["UNC path", "\\\\host\\share\\w.bin"],
    ["backslashes", "..\\w.bin"],
    ["NUL", "w.bin\0.txt"],
    ["empty", ""],
    ["folder", "."],
    ["empty segment", "a//b"],
  ] as const;
  for (const [id, location] of outside)
    test(`${id}: location ${JSON.stringify(location)} is refused before anything is opened`, async () => {
      const { code, asked } = await attack({ location });
      expect(code).toBe("onnx/external-location");
      expect(asked).toEqual([]);
    });

  test("onnxruntime #28709: a marker of an address in memory is a file name like any other", async () => {
    const bytes = await bytesOfMessage(
      "ModelProto",
      model({ location: "*/_ORT_MEM_ADDR_/*", offset: "140737488355328", length: "16" }),
    );
    const dir = folder({});
    await expect(openOnnx(bytes, { sibling: dir.sibling })).rejects.toThrow("no */_ORT_MEM_ADDR_/*");
    expect(dir.asked).toEqual(["*/_ORT_MEM_ADDR_/*"]);
  });

  test("onnxruntime #27430: a model from bytes has no folder; what it needs is named", async () => {
    const bytes = await bytesOfMessage("ModelProto", model({ location: "w.bin" }));
    const error = await openOnnx(bytes).catch((e: unknown) => e);
    expect(isPareError(error) && error.code).toBe("onnx/external-missing");
    expect(String(error)).toContain("w.bin");
    const hostile = await bytesOfMessage("ModelProto", model({ location: "../w.bin" }));
    await expect(openOnnx(hostile)).rejects.toThrow("onnx/external-location");
  });

  for (const [offset, length] of [
    ["-1", "16"],
    ["0", "-16"],
    ["17", "16"],
    ["1", "16"],
    ["18446744073709551608", "16"],
    ["9007199254740993", "16"],
    ["0", "18446744073709551615"],
    ["0x0", "16"],
    ["1e1", "16"],
    [" 0", "16"],
    ["", "16"],
    ["0", "12"],
    ["0", "20"],
    ["NaN", "16"],
  ] as const)
    test(`CVE-2026-34445, OpenVINO #34070: offset ${JSON.stringify(offset)}, length ${JSON.stringify(length)}`, async () => {
      expect((await attack({ location: "w.bin", offset, length })).code).toBe("onnx/external-range");
    });

  test("CVE-2026-34445: keys that ONNX does not define change nothing and are named", async () => {
    const dir = folder({ "w.bin": data });
    const entries = [
      ["__proto__", '{"polluted":true}'],
      ["constructor", "x"],
      ["location", "w.bin"],
      ["toString", "x"],
    ] as const;
    const source = await openOnnx(await bytesOfMessage("ModelProto", model(entries)), { sibling: dir.sibling });
    expect(source.diagnostics.map((d) => d.code)).toEqual(Array(3).fill("onnx/external-key"));
    expect("polluted" in {}).toBe(false);
    expect(source.model.graph.weights.get("w")!.bytes).toEqual(data);
  });

  test("a shape that takes more than the file has is refused without reading or allocating", async () => {
    const huge = { dims: [2 ** 31, 2 ** 31, 2 ** 31], data_type: 1 };
    expect((await attack({ location: "w.bin" }, huge)).code).toBe("onnx/tensor-shape");
    expect((await attack({ location: "w.bin" }, { dims: [2 ** 40], data_type: 1 })).code).toBe("onnx/external-range");
    expect((await attack({ location: "w.bin" }, { dims: [-1], data_type: 1 })).code).toBe("onnx/tensor-shape");
    expect((await attack({ location: "w.bin" }, { dims: [1], data_type: 8 })).code).toBe("onnx/tensor-data");
    expect((await attack({ location: "w.bin" }, { dims: [1], data_type: 77 })).code).toBe("onnx/dtype");
  });
});

describe("external data", () => {
  test("is read by range, in place; small tensors are in memory; one file is opened once; close closes it", async () => {
    const count = 50_000;
    const big = Float32Array.from({ length: count }, (_, i) => i);
    const file = new Uint8Array(4096 + 4 * count);
    file.set(data, 0);
    file.set(new Uint8Array(big.buffer), 4096);
    const doc = model({ location: "./w.bin" });
    const other: Message<"TensorProto"> = {
      name: "big",
      dims: [count],
      data_type: 1,
      data_location: 1,
      external_data: [
        { key: "location", value: "w.bin" },
        { key: "offset", value: "4096" },
        { key: "length", value: String(4 * count) },
        { key: "checksum", value: "0" },
      ],
    };
    const both = { ...doc, graph: { ...doc.graph, initializer: [...doc.graph!.initializer!, other] } };
    const dir = folder({ "w.bin": file });
    const source = await openOnnx(await bytesOfMessage("ModelProto", both), { sibling: dir.sibling });
    expect(dir.asked).toEqual(["w.bin"]);
    const { weights } = source.model.graph;
    expect(weights.get("w")!.bytes).toEqual(data);
    const t = weights.get("big")!;
    expect(t.byteLength).toBeGreaterThan(RESIDENT_LIMIT);
    expect(t.bytes).toBeUndefined();
    const tail = await t.read({ offset: 4 * (count - 2), length: 8 });
    expect([...new Float32Array(tail.slice().buffer)]).toEqual([count - 2, count - 1]);
    expect(dir.opened[0]!.reads.at(-1)).toEqual({ offset: 4096 + 4 * (count - 2), length: 8 });
    await source.close();
    expect(dir.opened[0]!.closed).toBe(true);

    const sink = memorySink();
    const again = await openOnnx(await bytesOfMessage("ModelProto", both), { sibling: dir.sibling });
    const artifact = await writeOnnx(again.model, sink, { externalData: { threshold: 16 }, name: "out.onnx" });
    expect(artifact.files.map((f) => f.name)).toEqual(["out.onnx", "out.onnx.data"]);
    const back = await openOnnx(sink.files.get("out.onnx")!, {
      sibling: async (name) => fileLike(sink.files.get(name)!, name),
    });
    expect(await back.model.graph.weights.get("big")!.read()).toEqual(new Uint8Array(big.buffer));
    expect(back.model.graph.weights.get("w")!.bytes).toEqual(data);
  });

  test("CVE-2025-51480: names that a writer is given cannot leave its folder either, and nothing of the source's is reused", async () => {
    const dir = folder({ "w.bin": data });
    const source = await openOnnx(await bytesOfMessage("ModelProto", model({ location: "w.bin" })), {
      sibling: dir.sibling,
    });
    for (const name of ["../out.onnx", "/out.onnx", "a/../../out.onnx", "C:out.onnx", "..\\out.onnx", ""]) {
      const sink = memorySink();
      const error = await writeOnnx(source.model, sink, { name, externalData: true }).catch((e: unknown) => e);
      expect(isPareError(error) && error.code).toBe("io/file-name");
      expect(sink.files.size).toBe(0);
    }
    const sink = memorySink();
    await writeOnnx(source.model, sink, { externalData: { threshold: 1 } });
    expect([...sink.files.keys()].sort()).toEqual(["model.onnx", "model.onnx.data"]);
  });
});
