import type { Artifact, ByteSource, ExportContext, FileSink, Model } from "@pare/core";
import { folderSink, openSource, type SourceLike, siblingOpener } from "@pare/io";
import { type OnnxWriteOptions, onnxExporter } from "./exporter.ts";
import { importOnnx, type OnnxReadOptions, type OnnxSource } from "./importer.ts";

export interface OpenOnnxOptions extends OnnxReadOptions {
  readonly signal?: AbortSignal;
  /** Opens a file of external data by the name that the model gives. Default: the files beside a path or URL. */
  readonly sibling?: (name: string) => Promise<ByteSource>;
}

/**
 * Opens an ONNX model: a path or URL, a Blob, bytes or a source. The model is at the IR's opset; weights above 64 KiB stay
 * in the file, so keep it open (`close`) for as long as they may be read.
 * @throws PareError `onnx/…` with the place in the file, `io/…`
 * @example
 * const source = await openOnnx("classifier.onnx");
 * console.log(source.opset, source.model.graph.nodes.length);
 * await source.close();
 */
export async function openOnnx(from: SourceLike, options: OpenOnnxOptions = {}): Promise<OnnxSource> {
  const { signal } = options;
  const isPlace = typeof from === "string" || from instanceof URL;
  const sibling = options.sibling ?? (isPlace ? siblingOpener(from) : undefined);
  const source = await openSource(from, signal ? { signal } : {});
  try {
    return await importOnnx(source, { ...options, ...(sibling ? { sibling } : {}) });
  } catch (error) {
    await source.close();
    throw error;
  }
}

/**
 * Writes a model as ONNX: to a path (and, where it is large, `PATH.data`), or as `model.onnx` to a sink.
 * The old file stays until the new one is complete.
 * @throws PareError with all that keeps the model from being written, before a byte is
 */
export async function writeOnnx(
  model: Model,
  to: string | URL | FileSink,
  options: OnnxWriteOptions & ExportContext & { readonly name?: string } = {},
): Promise<Artifact> {
  if (typeof to === "object" && !(to instanceof URL))
    return onnxExporter.export(model, to, options.name ?? "model.onnx", options);
  const path = String(to);
  const cut = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1;
  const folder = path.slice(0, cut) || ".";
  const name = path.slice(cut);
  return onnxExporter.export(
    model,
    folderSink(to instanceof URL ? new URL(".", to) : folder),
    to instanceof URL ? decodeURIComponent(name) : name,
    options,
  );
}
