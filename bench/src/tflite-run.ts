import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Values } from "@pare/core";
import type { LitertRuntime, LitertSession } from "@pare/runtime-litert";

/** Runs the bytes of a TFLite file once. */
export type LitertFile = (bytes: Uint8Array, inputs: Values, signal: AbortSignal) => Promise<Values>;

/** Runs files of TFLite in LiteRT, from a folder that `close` removes. */
export async function litertFile(runtime: LitertRuntime): Promise<{
  readonly run: LitertFile;
  /** Median milliseconds of a run. */
  measure(bytes: Uint8Array, inputs: Values, signal: AbortSignal): Promise<number>;
  close(): Promise<void>;
}> {
  const folder = await mkdtemp(join(tmpdir(), "pare-tflite-"));
  const path = join(folder, "model.tflite");
  const open = async <T>(bytes: Uint8Array, signal: AbortSignal, use: (s: LitertSession) => Promise<T>): Promise<T> => {
    await writeFile(path, bytes);
    const session = await runtime.prepareFile(path, { signal });
    try {
      return await use(session);
    } finally {
      await session.close();
    }
  };
  return {
    run: (bytes, inputs, signal) => open(bytes, signal, (s) => s.run(inputs, { signal, timeout: 60_000 })),
    measure: (bytes, inputs, signal) =>
      open(bytes, signal, async (s) => (await s.measure(inputs, { signal, timeout: 60_000 })).medianMs),
    close: () => rm(folder, { recursive: true, force: true }),
  };
}
