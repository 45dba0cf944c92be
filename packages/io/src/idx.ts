import {
  type ByteSource,
  byteLengthOf,
  type DType,
  elementCount,
  failure,
  type ResidentTensor,
  tensor,
} from "@pare/core";

const dtypes: ReadonlyMap<number, DType> = new Map([
  [0x08, "uint8"],
  [0x09, "int8"],
  [0x0b, "int16"],
  [0x0c, "int32"],
  [0x0d, "float32"],
  [0x0e, "float64"],
]);

/** Most bytes that a compressed file may unfold to. */
const MAX_BYTES = 2 ** 31 - 1;

/**
 * Reads an IDX file, the format of MNIST and its successors (LeCun, "The IDX file format"), packed by gzip or not: a
 * big-endian header with element type and dimensions, then the elements.
 * @throws PareError `io/idx`
 */
export async function readIdx(source: ByteSource, signal?: AbortSignal): Promise<ResidentTensor> {
  const bad = (message: string) => failure("io/idx", message, { location: { file: source.name } });
  const raw = await source.read({ offset: 0, length: source.byteLength }, signal);
  const bytes = raw[0] === 0x1f && raw[1] === 0x8b ? await unzipped(raw, bad) : raw;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4 || bytes[0] !== 0 || bytes[1] !== 0)
    throw bad("it is not an IDX file: it does not start with two zeros");
  const dtype = dtypes.get(bytes[2]!);
  const rank = bytes[3]!;
  if (!dtype) throw bad(`it has elements of the unknown type ${bytes[2]}`);
  const start = 4 + 4 * rank;
  if (bytes.length < start) throw bad("it ends inside its header");
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  const length = byteLengthOf(dtype, elementCount(shape));
  if (bytes.length - start !== length)
    throw bad(`it has ${bytes.length - start} bytes of elements, and its header says ${length}`);
  const data = bytes.slice(start);
  const size = byteLengthOf(dtype, 1);
  if (size > 1) for (let i = 0; i < data.length; i += size) data.subarray(i, i + size).reverse();
  return tensor(dtype, shape, data as never);
}

async function unzipped(bytes: Uint8Array, bad: (message: string) => Error): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  try {
    const stream = new Blob([bytes as BlobPart]).stream().pipeThrough(new DecompressionStream("gzip"));
    for await (const piece of stream as unknown as AsyncIterable<Uint8Array>) {
      length += piece.length;
      if (length > MAX_BYTES) break;
      pieces.push(piece);
    }
  } catch (cause) {
    throw bad(`it cannot be unpacked: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  if (length > MAX_BYTES) throw bad(`it unfolds to more than ${MAX_BYTES} bytes`);
  const all = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
