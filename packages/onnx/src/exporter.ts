import {
  type Artifact,
  type Diagnostic,
  type ExportContext,
  type Exporter,
  type FileSink,
  isPareError,
  type Model,
  PareError,
  type Target,
  type Tensor,
  verify,
} from "@pare/core";
import { checkFileName } from "@pare/io";
import { tooLargeForOneFile } from "./document.ts";
import { encode } from "./encode.ts";
import { fuse } from "./fuse.ts";
import { opsetToWrite } from "./opset.ts";
import type { Payload } from "./proto.ts";
import { INLINE_LIMIT, pump } from "./pump.ts";
import { decodeOnLoad } from "./stored-weights.ts";
import { type TensorProto, writeTensor } from "./tensors.ts";
import { type TensorWriter, writeModel } from "./write-model.ts";

export interface OnnxWriteOptions {
  /**
   * Where weights go: in the model (`false`), those of at least `threshold` bytes (65536 with `true`) into `NAME.data`
   * beside it, or, by default (`"auto"`), beside it only when one file would be larger than 1.8 GB.
   */
  readonly externalData?: "auto" | boolean | { readonly threshold: number };
  /** The version of the ONNX operators to write, 7 to 27; what it has no words for is an error. Default: the lowest that says the same. */
  readonly opset?: number;
  /**
   * Where integer weights that are only stored so are decoded: in every run, by DequantizeLinear as in the model
   * (`"run"`, the default), or once when an engine folds constants (`"load"`), by Cast and Mul.
   */
  readonly decodeWeights?: "run" | "load";
  /**
   * What the file is for: quantized arithmetic is written in the operators that this target has for it, beside those of
   * ONNX. Without it, in those of ONNX alone.
   */
  readonly target?: Target;
}

const AUTO_LIMIT = 1.8e9;
const THRESHOLD = 65536;

/** Writes ONNX models: one file, or one and the weights beside it. The result is deterministic. */
export const onnxExporter: Exporter<OnnxWriteOptions> = {
  format: "onnx",
  extensions: [".onnx"],
  check: (model, options = {}) => prepare(model, options).problems,
  async export(model, sink, name, options = {}) {
    try {
      options.signal?.throwIfAborted();
      const file = checkFileName(name);
      const { lowered, problems } = prepare(model, options);
      if (!lowered || problems.length > 0) throw new PareError(problems);
      return await write(lowered, sink, file, options);
    } catch (error) {
      await sink.abort();
      throw error;
    }
  },
};

/** The model at the opset to write, and everything that keeps it from being written. */
function prepare(model: Model, options: OnnxWriteOptions): { lowered?: Model; problems: readonly Diagnostic[] } {
  const problems: Diagnostic[] = verify(model).filter((d) => d.code !== "core/no-opset");
  try {
    const fused = options.target ? fuse(model, options.target) : model;
    const decoded = options.decodeWeights === "load" ? decodeOnLoad(fused) : fused;
    return { lowered: opsetToWrite(decoded, options.opset), problems };
  } catch (error) {
    if (!isPareError(error)) throw error;
    return { problems: [...problems, ...error.diagnostics] };
  }
}

async function write(
  model: Model,
  sink: FileSink,
  name: string,
  options: OnnxWriteOptions & ExportContext,
): Promise<Artifact> {
  const { signal, externalData = "auto" } = options;

  let data: DataFile | undefined;
  let encoded = externalData === "auto" || !externalData ? encode("ModelProto", writeModel(model)) : undefined;
  if (!encoded || (externalData === "auto" && encoded.byteLength > AUTO_LIMIT)) {
    const threshold = typeof externalData === "object" ? externalData.threshold : THRESHOLD;
    data = dataFile(`${name}.data`, threshold);
    encoded = encode("ModelProto", writeModel(model, data.writer));
  }
  if (encoded.byteLength >= INLINE_LIMIT) throw tooLargeForOneFile(name, encoded.byteLength);

  const files = [{ name, pieces: encoded.pieces, byteLength: encoded.byteLength }];
  if (data && data.pieces.length > 0) files.push({ name: data.name, pieces: data.pieces, byteLength: data.size() });
  const total = files.reduce((n, f) => n + f.byteLength, 0);
  let before = 0;
  for (const file of files) {
    const writer = await sink.create(file.name);
    const progress = (done: number) =>
      options.onProgress?.({ task: `write ${file.name}`, done: before + done, total, unit: "bytes" });
    try {
      await pump(file.pieces, writer, signal, progress);
    } finally {
      await writer.close();
    }
    before += file.byteLength;
  }
  signal?.throwIfAborted();
  await sink.commit();
  return { format: "onnx", files: files.map(({ name, byteLength }) => ({ name, byteLength })), diagnostics: [] };
}

interface DataFile {
  readonly name: string;
  readonly writer: TensorWriter;
  readonly pieces: Payload[];
  size(): number;
}

/** Lays tensors out in a file of their own: aligned so that they can be mapped, each content once. */
function dataFile(name: string, threshold: number): DataFile {
  const location = name.slice(name.lastIndexOf("/") + 1);
  const pieces: Payload[] = [];
  const places = new Map<Tensor | string, number>();
  let end = 0;
  const place = (t: Tensor): number => {
    const id = t.key ?? t;
    const known = places.get(id);
    if (known !== undefined) return known;
    // ONNX asks for pages; Windows maps at multiples of 64 KiB.
    const align = t.byteLength >= 1 << 20 ? 65536 : 4096;
    const offset = Math.ceil(end / align) * align;
    if (offset > end) pieces.push(new Uint8Array(offset - end));
    pieces.push(t.bytes ?? t);
    places.set(id, offset);
    end = offset + t.byteLength;
    return offset;
  };
  const writer: TensorWriter = (t, kept) => {
    if (t.dtype === "string" || t.byteLength < threshold) return writeTensor(t, kept);
    const { raw_data, ...rest } = writeTensor(t, kept);
    const entry = (key: string, value: string | number) => ({ key, value: String(value) });
    const external_data = [entry("location", location), entry("offset", place(t)), entry("length", t.byteLength)];
    return { ...rest, external_data, data_location: 1 } satisfies TensorProto;
  };
  return { name, writer, pieces, size: () => end };
}
