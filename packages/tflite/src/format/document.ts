import type { ByteSource, FileSink, Progress } from "@pare/core";
import { pump } from "@pare/io";
import { fail } from "./codes.ts";
import { type DecodeOptions, decode } from "./decode.ts";
import { DATA_ALIGNMENT, type Encoded, encode, FLATBUFFER_LIMIT } from "./encode.ts";
import { type Payload, storedAt } from "./payload.ts";
import type { Tables } from "./schema.gen.ts";

/**
 * A file as it is: every table of the schema by the names of its fields. Data that stands outside the flatbuffer is in
 * `Buffer.data` and `Operator.custom_options` like all other.
 */
export interface TfliteDocument {
  readonly model: Tables["Model"];
  /** What stands behind the model in its file, such as a zip archive of labels. */
  readonly appended?: Payload | undefined;
}

/** The version of the format, of which there has been no other since 2017. */
export const SCHEMA_VERSION = 3;

/** A list as the file has it, empty where it is missing. */
const listOf = <T>(list: readonly T[] | undefined): readonly T[] => list ?? [];

/**
 * Reads a file without loss. Weights of more than 64 KiB stay in `source`, which must stay open while they may be read.
 * @throws PareError `tflite/not-tflite`, `tflite/version`, `tflite/buffer` and what {@link decode} throws
 */
export async function readDocument(source: ByteSource, options: DecodeOptions = {}): Promise<TfliteDocument> {
  const location = { file: source.name };
  const head = await source.read({ offset: 0, length: Math.min(40, source.byteLength) }, options.signal);
  const start = new TextDecoder("latin1").decode(head);
  if (start.slice(4, 8) !== "TFL3") {
    const [what, hint] = knownOther(start);
    throw fail("tflite/not-tflite", `this is ${what}, not a TensorFlow Lite model`, { hint, location });
  }
  const { root, end } = await decode(source, "Model", options);
  if (root.version !== SCHEMA_VERSION)
    throw fail("tflite/version", `the model is of version ${root.version ?? 0} of the format, not ${SCHEMA_VERSION}`, {
      location,
    });
  const { model, end: last } = await bringIn(source, root, end);
  const appended = await archiveBehind(source, last);
  return { model, ...(appended ? { appended } : {}) };
}

function knownOther(start: string): readonly [string, string] {
  if (start.startsWith("version https://git-lfs"))
    return ["a pointer of Git LFS", "Get the file itself: git lfs pull."];
  if (start.slice(8, 12) === "TFL3") return ["a flatbuffer with its size in front", "Leave out the first four bytes."];
  if (start.startsWith("PK\x03\x04")) return ["a zip archive", "Unpack it: task files hold their models inside."];
  if (/^\s*<(!doctype|html)/i.test(start)) return ["a web page", "The download went wrong: get the file again."];
  return ["something else", "Its bytes 4 to 8 should be TFL3."];
}

/** Takes in data that the flatbuffer only points at: that of buffers, and large custom options. */
async function bringIn(
  source: ByteSource,
  root: Tables["Model"],
  end: number,
): Promise<{ readonly model: Tables["Model"]; readonly end: number }> {
  let last = end;
  /** Offsets up to 1 say that there is nothing. */
  const piece = async (offset: number, size: number, path: string): Promise<Payload | undefined> => {
    if (offset <= 1) return undefined;
    if (!(size <= source.byteLength - offset))
      throw fail("tflite/truncated", `${path}: ${size} bytes at ${offset} run past the end of the file`, {
        location: { file: source.name, offset },
      });
    last = Math.max(last, offset + size);
    return storedAt(source, offset, size);
  };
  const buffers: Tables["Buffer"][] = [];
  for (const [i, { offset = 0, size = 0, ...rest }] of listOf(root.buffers).entries()) {
    const path = `Model.buffers[${i}]`;
    const data = await piece(Number(offset), Number(size), path);
    if (data && rest.data && rest.data.byteLength > 0)
      throw fail("tflite/buffer", `${path} has data inside and outside the flatbuffer`, {
        location: { file: source.name },
      });
    buffers.push(data ? { data } : rest);
  }
  const subgraphs: Tables["SubGraph"][] = [];
  for (const [g, graph] of listOf(root.subgraphs).entries()) {
    const operators: Tables["Operator"][] = [];
    for (const [i, op] of listOf(graph.operators).entries()) {
      const { large_custom_options_offset: offset = 0, large_custom_options_size: size = 0, ...rest } = op;
      const data = await piece(Number(offset), Number(size), `Model.subgraphs[${g}].operators[${i}]`);
      operators.push(data ? { ...rest, custom_options: await data.read() } : rest);
    }
    subgraphs.push(graph.operators ? { ...graph, operators } : graph);
  }
  const model = {
    ...root,
    ...(root.buffers ? { buffers } : {}),
    ...(root.subgraphs ? { subgraphs } : {}),
  };
  return { model, end: last };
}

/** A zip archive that stands behind `end`, where tools put labels and the like. */
async function archiveBehind(source: ByteSource, end: number): Promise<Payload | undefined> {
  // Padding may come between.
  const length = Math.min(64, source.byteLength - end);
  if (length < 22) return undefined;
  const bytes = await source.read({ offset: end, length });
  const start = new TextDecoder("latin1").decode(bytes).indexOf("PK\x03\x04");
  return start < 0 ? undefined : storedAt(source, end + start, source.byteLength - end - start);
}

export interface DocumentOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** Bytes from which on weights stand behind the flatbuffer and not in it; the format ends at 2 GB. */
  readonly flatbufferLimit?: number;
}

/**
 * Writes a document as one file and commits it. Weights stand outside the flatbuffer where they do not fit in it. The same
 * document gives the same bytes.
 * @throws PareError `tflite/value`, `tflite/inline-limit`
 */
export async function writeDocument(
  document: TfliteDocument,
  sink: FileSink,
  name: string,
  options: DocumentOptions = {},
): Promise<{ readonly byteLength: number }> {
  const { signal } = options;
  try {
    signal?.throwIfAborted();
    const { byteLength, pieces } = encodeDocument(document, options.flatbufferLimit);
    const writer = await sink.create(name);
    await pump(pieces, writer, signal, (done) =>
      options.onProgress?.({ task: `write ${name}`, done, total: byteLength, unit: "bytes" }),
    );
    await writer.close();
    signal?.throwIfAborted();
    await sink.commit();
    return { byteLength };
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

/** The bytes of a document, in pieces. */
export function encodeDocument({ model, appended }: TfliteDocument, limit = FLATBUFFER_LIMIT): Encoded {
  const inside = encode("Model", model);
  const file = inside.byteLength > Math.min(limit, FLATBUFFER_LIMIT) ? encodeOutside(model) : inside;
  if (!appended) return file;
  return { byteLength: file.byteLength + appended.byteLength, pieces: [...file.pieces, appended] };
}

/** With the data of constants behind the flatbuffer, which says where. Metadata is looked for inside only. */
function encodeOutside(model: Tables["Model"]): Encoded {
  const inside = new Set(listOf(model.metadata).map((m) => m.buffer ?? 0));
  const moved = (b: Tables["Buffer"], i: number) => !inside.has(i) && b.data !== undefined && b.data.byteLength > 0;
  const at = (start: number) => {
    let end = start;
    const tail: (Uint8Array | Payload)[] = [];
    const buffers = listOf(model.buffers).map((b, i): Tables["Buffer"] => {
      if (!b.data || !moved(b, i)) return b;
      const offset = Math.ceil(end / DATA_ALIGNMENT) * DATA_ALIGNMENT;
      if (offset > end) tail.push(new Uint8Array(offset - end));
      tail.push(b.data.bytes ?? b.data);
      end = offset + b.data.byteLength;
      return { offset, size: b.data.byteLength };
    });
    return { encoded: encode("Model", { ...model, buffers }), tail, end };
  };
  // Offsets take the same place whatever they are.
  const { byteLength } = at(DATA_ALIGNMENT).encoded;
  if (byteLength > FLATBUFFER_LIMIT)
    throw fail("tflite/inline-limit", `what describes the model takes ${byteLength} bytes; the format ends at 2 GB`);
  const { encoded, tail, end } = at(byteLength);
  return { byteLength: end, pieces: [...encoded.pieces, ...tail] };
}
