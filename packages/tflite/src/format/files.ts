import type { ByteSource, FileSink } from "@pare/core";
import { assemble } from "./assemble.ts";
import type { DecodeOptions } from "./decode.ts";
import { type DocumentOptions, encodeDocument, readDocument, writeDocument } from "./document.ts";
import type { TfliteModel } from "./model.ts";
import { modelOf } from "./read-model.ts";

/**
 * Reads a TFLite file as a model of TFLite. Weights of more than 64 KiB stay in `source`, which must stay open while they
 * may be read.
 * @throws PareError `tflite/…` with the place in the file
 */
export async function readModel(source: ByteSource, options: DecodeOptions = {}): Promise<TfliteModel> {
  return modelOf(await readDocument(source, options), source.name);
}

/**
 * Writes a model of TFLite as one file and commits it: equal constants once, operators in the lowest version that fits,
 * weights in pieces. The same model gives the same bytes.
 * @throws PareError `tflite/…` with all that keeps it from being written, before a byte is
 */
export async function writeModel(
  model: TfliteModel,
  sink: FileSink,
  name: string,
  options: DocumentOptions = {},
): Promise<{ readonly byteLength: number }> {
  let document: Awaited<ReturnType<typeof assemble>>;
  try {
    options.signal?.throwIfAborted();
    document = await assemble(model, options.signal);
  } catch (error) {
    await sink.abort();
    throw error;
  }
  return writeDocument(document, sink, name, options);
}

/** The bytes of a model that is known to fit in memory. */
export async function modelBytes(model: TfliteModel, signal?: AbortSignal): Promise<Uint8Array> {
  const { byteLength, pieces } = encodeDocument(await assemble(model, signal));
  const bytes = new Uint8Array(byteLength);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece instanceof Uint8Array ? piece : await piece.read(undefined, signal), at);
    at += piece.byteLength;
  }
  return bytes;
}
