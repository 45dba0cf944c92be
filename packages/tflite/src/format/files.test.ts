import { memorySource, tensor, verify } from "@pare/core";
import { memorySink } from "@pare/io";
import { hugeTensor, memoryFiles } from "@pare/testing";
import { describe, expect, test } from "vitest";
import { richBytes, richModel } from "../test/fixtures.ts";
import { assemble } from "./assemble.ts";
import { encodeDocument, readDocument } from "./document.ts";
import { modelBytes, readModel, writeModel } from "./files.ts";
import { fromCore, isTflite } from "./from-core.ts";
import type { TfliteModel } from "./model.ts";
import { inMemory } from "./payload.ts";
import type { Tables } from "./schema.gen.ts";
import { toCore } from "./to-core.ts";

const read = (bytes: Uint8Array) => readModel(memorySource(bytes, "m.tflite"));
const same = (a: Uint8Array, b: Uint8Array) => expect(Buffer.from(a).equals(Buffer.from(b))).toBe(true);

describe("a model that is written", () => {
  test("comes back, and is the same file again", async () => {
    const bytes = await richBytes();
    same(await richBytes(), bytes);
    const model = await read(bytes);
    same(await modelBytes(model), bytes);
    expect(model.signatures).toEqual(richModel().signatures);
    expect(model.graphs[0]!.operators.map((op) => [op.code.builtin, op.code.version])).toEqual([
      ["CONV_2D", 1],
      ["FULLY_CONNECTED", 12],
      ["FULLY_CONNECTED", 12],
      ["IF", 1],
      ["CUSTOM", 2],
    ]);
    expect(new TextDecoder().decode(await model.appended!.read())).toContain("labels");
  });

  test("stores equal constants once, and says which runtime it needs", async () => {
    const { model } = await assemble(richModel());
    const [main] = model.subgraphs as [Tables["SubGraph"]];
    const buffer = (name: string) => main.tensors!.find((t) => t.name === name)!.buffer;
    expect(buffer("same matrix")).toBe(buffer("matrix"));
    expect(buffer("conv")).toBe(0);
    expect(model.buffers![0]).toEqual({});
    const note = model.metadata!.find((m) => m.name === "min_runtime_version")!;
    expect(new TextDecoder().decode(await model.buffers![note.buffer!]!.data!.read())).toBe("2.17.0".padEnd(16, "\0"));
  });

  test("tells data of one length apart that begins alike", async () => {
    const data = (last: number) => {
      const bytes = new Uint8Array(200_000);
      bytes[199_999] = last;
      return inMemory(bytes);
    };
    const tensors = [1, 2, 1, 2].map((last, i) => ({
      name: `t${i}`,
      type: "UINT8" as const,
      shape: [200_000],
      data: data(last),
    }));
    const model: TfliteModel = {
      graphs: [{ tensors, inputs: [], outputs: [0], operators: [] }],
      signatures: [],
      metadata: [],
    };
    const document = await assemble(model);
    expect(document.model.subgraphs![0]!.tensors!.map((t) => t.buffer)).toEqual([1, 2, 1, 2]);
    expect((await modelBytes(model)).length).toBeLessThan(401_000);
  });

  test("has its weights behind the flatbuffer when they do not fit in it", async () => {
    const document = await assemble(richModel());
    const sink = memorySink();
    await writeModel(richModel(), sink, "m.tflite", { flatbufferLimit: 500 });
    const outside = sink.files.get("m.tflite")!;
    const raw = await readDocument(memorySource(outside, "m.tflite"));
    expect(raw.model.buffers!.length).toBe(document.model.buffers!.length);
    same(await modelBytes(await read(outside)), await richBytes());
  });

  test("of more than 2 GB is streamed, its flatbuffer below 2 GB", { timeout: 60_000 }, async () => {
    const a = hugeTensor(1.5 * 2 ** 30);
    const weight = (name: string, t: ReturnType<typeof hugeTensor>["tensor"]) => ({
      name,
      type: "FLOAT32" as const,
      shape: t.shape,
      data: { byteLength: t.byteLength, read: t.read },
    });
    const model: TfliteModel = {
      graphs: [
        {
          tensors: [weight("a", a.tensor), { ...weight("b", hugeTensor(1.6 * 2 ** 30).tensor) }],
          inputs: [],
          outputs: [0],
          operators: [],
        },
      ],
      signatures: [],
      metadata: [],
    };
    const { byteLength, pieces } = encodeDocument(await assemble(model));
    expect(byteLength).toBeGreaterThan(3 * 2 ** 30);
    const [flatbuffer] = pieces as [Uint8Array];
    expect(flatbuffer.byteLength).toBeLessThan(10_000);
    const { sink, state } = memoryFiles({ keep: false });
    const stop = new AbortController();
    const small = { ...model, graphs: [{ ...model.graphs[0]!, tensors: [model.graphs[0]!.tensors[0]!] }] };
    const written = writeModel(small, sink, "m", {
      signal: stop.signal,
      onProgress: ({ done }) => done > 2 ** 26 && stop.abort(new Error("enough")),
    });
    await expect(written).rejects.toThrow("enough");
    expect(a.reads.largest).toBeLessThanOrEqual(2 ** 20);
    expect(state.aborted).toBe(true);
  });

  test("is refused before a byte is written when an index points at nothing", async () => {
    const model = richModel();
    const broken = { ...model, graphs: [{ ...model.graphs[0]!, outputs: [99] }, ...model.graphs.slice(1)] };
    const { sink, state } = memoryFiles();
    await expect(writeModel(broken, sink, "m")).rejects.toMatchObject({ code: "tflite/index" });
    expect([state.written, state.aborted]).toEqual([0, true]);
  });
});

describe("in Pare's terms", () => {
  test("a model is well formed, and goes back to the same file", async () => {
    const bytes = await richBytes();
    const core = toCore(await read(bytes));
    expect(verify(core)).toEqual([]);
    expect(isTflite(core)).toBe(true);
    expect(core.graph.nodes.map((n) => `${n.domain}.${n.op}`)).toEqual([
      "tflite.CONV_2D",
      "tflite.FULLY_CONNECTED",
      "tflite.FULLY_CONNECTED",
      "tflite.IF",
      "tflite.CUSTOM",
    ]);
    expect(core.graph.weights.get("matrix")).toMatchObject({ dtype: "int8", shape: [2, 32] });
    same(await modelBytes(fromCore(core)), bytes);
  });

  test("changed weights are written", async () => {
    const core = toCore(richModel());
    const weights = new Map(core.graph.weights).set("bias", tensor("float32", [2], [3, 4]));
    const back = fromCore({ ...core, graph: { ...core.graph, weights } });
    const bias = back.graphs[0]!.tensors.find((t) => t.name === "bias")!;
    expect([...new Float32Array((await bias.data!.read()).slice().buffer)]).toEqual([3, 4]);
  });

  test("graphs that contain themselves are refused", () => {
    const model = richModel();
    const loop = model.graphs.map((g, i) => (i === 1 ? { ...model.graphs[0]!, name: "loop" } : g));
    expect(() => toCore({ ...model, graphs: loop })).toThrow(/contain themselves/);
  });
});
