import type { ByteSource, ImportContext, Importer, Source } from "@pare/core";
import type { DecodeOptions } from "./decode.ts";
import { readDocument } from "./document.ts";
import { openExternal } from "./external.ts";
import { readModel } from "./read-model.ts";
import { upgrade } from "./upgrade.ts";

export interface OnnxReadOptions extends Pick<DecodeOptions, "memoryLimit"> {
  /** Whether to bring the model to the IR's opset, which passes need. Default true; otherwise it stays at its own. */
  readonly upgrade?: boolean;
}

/** A model that was read from an ONNX file. */
export interface OnnxSource extends Source {
  readonly format: "onnx";
  /** Version of the ONNX operators in the file. */
  readonly opset: number;
  readonly irVersion: number;
  /** Name and version of the program that wrote the file, as far as it says. */
  readonly producer: string;
}

/** Reads a model; `close` closes `source` and the files of external data. */
export async function importOnnx(
  source: ByteSource,
  options: OnnxReadOptions & ImportContext = {},
): Promise<OnnxSource> {
  const doc = await readDocument(source, options);
  const external = await openExternal(doc, source.name, options);
  try {
    const { model: read, diagnostics } = readModel(doc, source.name, external);
    const model =
      options.upgrade === false ? read : upgrade(read, { file: source.name, onDiagnostic: (d) => diagnostics.push(d) });
    return {
      model,
      format: "onnx",
      diagnostics,
      opset: read.opsets.get("") ?? 0,
      irVersion: Number(doc.ir_version ?? 0),
      producer: [doc.producer_name, doc.producer_version].filter(Boolean).join(" "),
      async close() {
        await Promise.all([source.close(), external.close()]);
      },
    };
  } catch (error) {
    await external.close();
    throw error;
  }
}

/** Reads ONNX models of any size; weights above 64 KiB stay in their files until they are read. */
export const onnxImporter: Importer<OnnxReadOptions> = {
  format: "onnx",
  extensions: [".onnx"],
  import: importOnnx,
};
