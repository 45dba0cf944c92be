import { constantNodeValue, failure, type Model, viewOf } from "@pare/core";
import { memorySink } from "@pare/io";
import { writeOnnx } from "@pare/onnx";
import type { ModelLocation } from "./engine.ts";

/** A model as the engine opens it, and variants of it that differ in what is added at the end. */
export interface Stored {
  /** About how much memory one opened variant takes for its weights. */
  readonly byteLength: number;
  /** Where the model with `patch` put behind it is. `id` names the variant. */
  variant(id: string, patch?: () => Uint8Array): Promise<ModelLocation>;
}

/** Writes a model where an engine can open it. */
export type Store = (model: Model, signal: AbortSignal) => Promise<Stored>;

/** What an ArrayBuffer, and with it WebAssembly's memory, can hold of a model. */
const MEMORY_LIMIT = 2 ** 31 - 1;

/** Models with more bytes of weights have those above a megabyte beside them, where the engine maps them. */
const ONE_FILE = 64 << 20;

export const layoutOf = (byteLength: number) => ({ externalData: byteLength > ONE_FILE && { threshold: 1 << 20 } });

/** Bytes of all constants, wherever they stand. */
export function weightBytes(model: Model): number {
  let total = 0;
  for (const { graph: g } of viewOf(model).graphs) {
    for (const t of g.weights.values()) total += t.byteLength;
    for (const n of g.nodes) total += constantNodeValue(n)?.byteLength ?? 0;
  }
  return total;
}

/** Keeps models in memory, for engines without files. @throws PareError `ort/too-large` above 2 GB */
export const storeInMemory: Store = async (model, signal) => {
  const byteLength = weightBytes(model);
  if (byteLength > MEMORY_LIMIT)
    throw failure(
      "ort/too-large",
      `the weights take ${byteLength} bytes; onnxruntime-web holds at most ${MEMORY_LIMIT}`,
      {
        hint: "Run it on onnxruntime-node.",
      },
    );
  const sink = memorySink();
  await writeOnnx(model, sink, { ...layoutOf(byteLength), signal });
  const bytes = sink.files.get("model.onnx")!;
  const externalData = [...sink.files]
    .filter(([name]) => name !== "model.onnx")
    .map(([path, data]) => ({ path, data }));
  return {
    byteLength,
    async variant(_, patch) {
      const more = patch?.();
      if (!more) return { bytes, externalData };
      const patched = new Uint8Array(bytes.length + more.length);
      patched.set(bytes);
      patched.set(more, bytes.length);
      return { bytes: patched, externalData };
    },
  };
};
