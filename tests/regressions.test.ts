import { readdirSync, readFileSync } from "node:fs";
import { isPareError, memorySource, run, verify } from "@pare/core";
import { memorySink, readIdx, readNpy } from "@pare/io";
import { openOnnx, writeOnnx } from "@pare/onnx";
import { optimize } from "@pare/optimize";
import { describe, expect, test } from "vitest";

const folder = new URL("regressions/", import.meta.url);

/** What users do with a file of each kind. */
const judges: Readonly<Record<string, (bytes: Uint8Array) => Promise<unknown>>> = {
  async onnx(bytes) {
    const source = await openOnnx(bytes);
    const { model } = await run(optimize(), source.model);
    expect(verify(model).filter((d) => d.code !== "core/no-opset")).toEqual([]);
    const sink = memorySink();
    await writeOnnx(model, sink);
    await openOnnx(sink.files.get("model.onnx")!);
  },
  npy: (bytes) => readNpy(memorySource(bytes)),
  idx: (bytes) => readIdx(memorySource(bytes)),
};

describe("files on which something failed once, mostly found by the benchmark fuzz", () => {
  test.each(readdirSync(folder))("%s is read, or refused with a reason", async (name) => {
    try {
      await judges[name.split(".").at(-1)!]!(new Uint8Array(readFileSync(new URL(name, folder))));
    } catch (error) {
      if (!isPareError(error)) throw error;
      expect(error.diagnostics[0]!.message.length).toBeGreaterThan(10);
    }
  });
});
