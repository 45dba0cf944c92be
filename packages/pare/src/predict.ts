import type { FileSink, Model } from "@pare/core";
import { type OnnxWriteOptions, writeOnnx } from "@pare/onnx";

/**
 * Bytes that a model takes when it is written: the writer lays everything out before it reads a weight, says the total
 * with its first progress, and is stopped there.
 */
export async function predictBytes(model: Model, options: OnnxWriteOptions = {}): Promise<number> {
  const enough = new Error("laid out");
  let total: number | undefined;
  let written = 0;
  try {
    await writeOnnx(
      model,
      nowhere((n) => (written += n)),
      {
        ...options,
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
