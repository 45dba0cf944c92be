import { parse } from "@pare/core/parse";
import { memorySink } from "@pare/io";
import { expect, test } from "vitest";
import { safetensorsExporter } from "./index.ts";

const model = parse(`main (x: float32[N,3]) => (y) {
  w: float32[3,2] = {1, 2, 3, 4, 5, 6}
  h = MatMul(x, w)
  c = Constant<value=float32[2]{7, 8}>()
  y = Add(h, c)
}`);

test("the file is laid out as the format says", async () => {
  const sink = memorySink();
  const artifact = await safetensorsExporter.export(model, sink, "m.safetensors");
  const bytes = sink.files.get("m.safetensors")!;
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Record<string, unknown>;
  expect(header).toEqual({
    w: { dtype: "F32", shape: [3, 2], data_offsets: [0, 24] },
    c: { dtype: "F32", shape: [2], data_offsets: [24, 32] },
  });
  expect([...new Float32Array(bytes.slice(8 + length).buffer)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(artifact.files.map((f) => f.name)).toEqual(["m.safetensors", "m.graph.txt"]);
});

test("an abort leaves nothing", async () => {
  const sink = memorySink();
  const signal = AbortSignal.abort(new Error("stop"));
  await expect(safetensorsExporter.export(model, sink, "m.safetensors", { signal })).rejects.toThrow("stop");
  expect(sink.files.size).toBe(0);
});
