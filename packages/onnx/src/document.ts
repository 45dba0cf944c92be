import type { ByteSource, FileSink, Progress } from "@pare/core";
import { fail } from "./codes.ts";
import { type DecodeOptions, decode } from "./decode.ts";
import { encode } from "./encode.ts";
import type { OnnxDocument } from "./proto.ts";
import { INLINE_LIMIT, pump } from "./pump.ts";

/**
 * Reads a model file as it is: every field of ONNX 1.22 by its name, fields that it does not define as bytes. Tensor
 * data above 64 KiB stays in `source`, which must stay open for as long as it may be read.
 * @throws PareError `onnx/not-onnx`, and what {@link decode} throws
 */
export async function readDocument(source: ByteSource, options: DecodeOptions = {}): Promise<OnnxDocument> {
  const head = await source.read({ offset: 0, length: Math.min(40, source.byteLength) }, options.signal);
  const wrong = knownOther(new TextDecoder("latin1").decode(head));
  if (wrong)
    throw fail("onnx/not-onnx", `this is ${wrong[0]}, not an ONNX model`, {
      hint: wrong[1],
      location: { file: source.name },
    });
  return decode(source, "ModelProto", options);
}

function knownOther(head: string): readonly [string, string] | undefined {
  if (head.startsWith("version https://git-lfs")) return ["a pointer of Git LFS", "Get the file itself: git lfs pull."];
  if (head.slice(4, 8) === "ORTM")
    return ["a model in ONNX Runtime's own format", "Use the .onnx file it was made from."];
  if (head.slice(4, 8) === "TFL3") return ["a TensorFlow Lite model", "Use the model it was made from."];
  if (head.startsWith("PK\x03\x04")) return ["a zip archive", "Unpack it, or export the checkpoint to ONNX."];
  if (/^\s*<(!doctype|html)/i.test(head)) return ["a web page", "The download went wrong: get the file again."];
  return undefined;
}

/**
 * Writes a document as it is, as one file, and commits it. The same document gives the same bytes.
 * @throws PareError `onnx/inline-limit` from 2 GiB on
 */
export async function writeDocument(
  doc: OnnxDocument,
  sink: FileSink,
  name: string,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (progress: Progress) => void } = {},
): Promise<{ readonly byteLength: number }> {
  try {
    const { byteLength, pieces } = encode("ModelProto", doc);
    if (byteLength >= INLINE_LIMIT) throw tooLargeForOneFile(name, byteLength);
    const writer = await sink.create(name);
    await pump(pieces, writer, options.signal, (done) =>
      options.onProgress?.({ task: `write ${name}`, done, total: byteLength, unit: "bytes" }),
    );
    await writer.close();
    options.signal?.throwIfAborted();
    await sink.commit();
    return { byteLength };
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

export const tooLargeForOneFile = (file: string, byteLength: number) =>
  fail("onnx/inline-limit", `the file would take ${byteLength} bytes; protobuf ends at 2 GiB`, {
    location: { file },
    hint: 'Write the weights beside the model: externalData: "auto".',
  });
