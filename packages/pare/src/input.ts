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
  /** What the format tells besides the model. */
  readonly onnx?: Pick<OnnxSource, "opset" | "irVersion" | "producer">;
  close(): Promise<void>;
}

/** Opens a path; a model or source that is open already is taken as it is, and stays the caller's to close. */
export async function openInput(from: string | Model | Source, signal?: AbortSignal): Promise<Input> {
  if (typeof from !== "string") {
    const model = "model" in from ? from.model : from;
    const diagnostics = "model" in from ? from.diagnostics : [];
    return { name: model.graph.name || "model", model, sources: [], diagnostics, async close() {} };
  }
  const options = signal ? { signal } : {};
  const sources: ByteSource[] = [await openSource(from, options)];
  const beside = siblingOpener(from);
  try {
    const source = await openOnnx(sources[0]!, {
      ...options,
      async sibling(name) {
        const opened = await beside(name);
        sources.push(opened);
        return opened;
      },
    });
    const { model, opset, irVersion, producer, diagnostics } = source;
    const file = resolve(from);
    const isFile = await stat(file).then(
      (s) => s.isFile(),
      () => false,
    );
    return {
      name: basename(from),
      model,
      sources,
      diagnostics,
      onnx: { opset, irVersion, producer },
      ...(isFile ? { file } : {}),
      close: () => source.close(),
    };
  } catch (error) {
    await Promise.all(sources.map((s) => s.close()));
    throw error;
  }
}

export const totalBytes = (files: readonly { readonly byteLength: number }[]): number =>
  files.reduce((n, f) => n + f.byteLength, 0);
