import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Values } from "@pare/core";
import type { LitertRuntime } from "@pare/runtime-litert";

/** Runs the bytes of a TFLite file once. */
export type LitertFile = (bytes: Uint8Array, inputs: Values, signal: AbortSignal) => Promise<Values>;

/** Runs files of TFLite in LiteRT, from a folder that `close` removes. */
export async function litertFile(
  runtime: LitertRuntime,
): Promise<{ readonly run: LitertFile; close(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), "pare-tflite-"));
  const path = join(folder, "model.tflite");
  return {
    async run(bytes, inputs, signal) {
      await writeFile(path, bytes);
      const session = await runtime.prepareFile(path, { signal });
      try {
        return await session.run(inputs, { signal, timeout: 60_000 });
      } finally {
        await session.close();
      }
    },
    close: () => rm(folder, { recursive: true, force: true }),
  };
}
