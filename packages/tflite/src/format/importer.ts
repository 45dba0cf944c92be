import type { ByteSource, ImportContext, Importer, Source } from "@pare/core";
import { openSource, type SourceLike } from "@pare/io";
import type { DecodeOptions } from "./decode.ts";
import { readModel } from "./files.ts";
import type { TfliteModel } from "./model.ts";
import { toCore } from "./to-core.ts";

export type TfliteReadOptions = Pick<DecodeOptions, "memoryLimit">;

/** A model that was read from a TFLite file. */
export interface TfliteSource extends Source {
  readonly format: "tflite";
  /** The same in TFLite's terms. */
  readonly tflite: TfliteModel;
}

/** Reads a model; `close` closes `source`. */
export async function importTflite(
  source: ByteSource,
  options: TfliteReadOptions & ImportContext = {},
): Promise<TfliteSource> {
  const tflite = await readModel(source, options);
  return { model: toCore(tflite), tflite, format: "tflite", diagnostics: [], close: () => source.close() };
}

/** Reads TFLite models of any size; weights above 64 KiB stay in their file until they are read. */
export const tfliteImporter: Importer<TfliteReadOptions> = {
  format: "tflite",
  extensions: [".tflite"],
  import: importTflite,
};

/**
 * Opens a TFLite model: a path or URL, a Blob, bytes or a source. Its operators are nodes of the domain `tflite`. Weights
 * above 64 KiB stay in the file, so keep it open (`close`) for as long as they may be read.
 * @throws PareError `tflite/…` with the place in the file, `io/…`
 * @example
 * const source = await openTflite("classifier.tflite");
 * console.log(source.model.graph.nodes.map((n) => n.op));
 * await source.close();
 */
export async function openTflite(
  from: SourceLike,
  options: TfliteReadOptions & { readonly signal?: AbortSignal } = {},
): Promise<TfliteSource> {
  const source = await openSource(from, options.signal ? { signal: options.signal } : {});
  try {
    return await importTflite(source, options);
  } catch (error) {
    await source.close();
    throw error;
  }
}
