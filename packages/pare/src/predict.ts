import type { FileSink, Model } from "@pare/core";
import type { OnnxWriteOptions } from "@pare/onnx";
import { type Write, writerOf } from "./write.ts";

/**
 * Bytes that a model takes when it is written: the writer lays everything out before it reads a weight, says the total
 * with its first progress, and is stopped there.
 */
export async function predictBytes(model: Model, how: OnnxWriteOptions | Write = {}): Promise<number> {
  const write = typeof how === "function" ? how : writerOf({ onnx: how });
  const enough = new Error("laid out");
  let total: number | undefined;
  let written = 0;
  try {
    await write(
      model,
      nowhere((n) => (written += n)),
      {
        onProgress(p) {
          total = p.total;
          throw enough;
        },
      },
    );
  } catch (error) {
    if (error !== enough) throw error;
  }
  return total ?? written;
}

const nowhere = (count: (bytes: number) => void): FileSink => ({
  async create() {
    return {
      async write(bytes) {
        count(bytes.byteLength);
      },
      async close() {},
    };
  },
  async commit() {},
  async abort() {},
});
