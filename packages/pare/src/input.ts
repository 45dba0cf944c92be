import { stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import type { ByteSource, Diagnostic, Model, Source } from "@pare/core";
import { openSource, siblingOpener } from "@pare/io";
import { type OnnxSource, openOnnx } from "@pare/onnx";

/** A model that was opened, and its files where it came from some. */
export interface Input {
  readonly name: string;
  readonly model: Model;
  /** Path of the model's file. */
  readonly file?: string;
  /** The model file and those of its external data. Read from them, do not close them. */
  readonly sources: readonly ByteSource[];
  readonly diagnostics: readonly Diagnostic[];
  /** The format of the file; `model` where there is none. */
  readonly format: string;
  /** What ONNX tells besides the model. */
  readonly onnx?: Pick<OnnxSource, "opset" | "irVersion" | "producer">;
  close(): Promise<void>;
}

/** Opens a path; a model or source that is open already is taken as it is, and stays the caller's to close. */
export async function openInput(from: string | Model | Source, signal?: AbortSignal): Promise<Input> {
  if (typeof from !== "string") {
    const model = "model" in from ? from.model : from;
    const diagnostics = "model" in from ? from.diagnostics : [];
    const format = "model" in from ? from.format : "model";
    return { name: model.graph.name || "model", model, sources: [], diagnostics, format, async close() {} };
  }
  const options = signal ? { signal } : {};
  const file = await openSource(from, options);
  const sources: ByteSource[] = [file];
  const beside = siblingOpener(from);
  try {
    if (await isTfliteFile(file, signal)) {
      const { openTflite } = await import("@pare/tflite");
      const source = await openTflite(file, options);
      return { ...(await placeOf(from)), ...source, sources };
    }
    const source = await openOnnx(file, {
      ...options,
      async sibling(name) {
        const opened = await beside(name);
        sources.push(opened);
        return opened;
      },
    });
    const { model, format, opset, irVersion, producer, diagnostics } = source;
    return {
      ...(await placeOf(from)),
      model,
      sources,
      diagnostics,
      format,
      onnx: { opset, irVersion, producer },
      close: () => source.close(),
    };
  } catch (error) {
    await Promise.all(sources.map((s) => s.close()));
    throw error;
  }
}

/** Its name and, where it is a file, its path. */
async function placeOf(from: string): Promise<Pick<Input, "name" | "file">> {
  const file = resolve(from);
  const isFile = await stat(file).then(
    (s) => s.isFile(),
    () => false,
  );
  return { name: basename(from), ...(isFile ? { file } : {}) };
}

/** Flatbuffers of TFLite say so in their bytes 4 to 8. */
async function isTfliteFile(file: ByteSource, signal?: AbortSignal): Promise<boolean> {
  if (file.byteLength < 8) return false;
  const mark = await file.read({ offset: 4, length: 4 }, signal);
  return new TextDecoder("latin1").decode(mark) === "TFL3";
}

export const totalBytes = (files: readonly { readonly byteLength: number }[]): number =>
  files.reduce((n, f) => n + f.byteLength, 0);
