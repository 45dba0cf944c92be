import {
  type ByteSource,
  byteLengthOf,
  type DType,
  elementCount,
  failure,
  type ResidentTensor,
  tensor,
} from "@pare/core";

const dtypes = new Map<string, DType>([
  ["b1", "bool"],
  ["i1", "int8"],
  ["i2", "int16"],
  ["i4", "int32"],
  ["i8", "int64"],
  ["u1", "uint8"],
  ["u2", "uint16"],
  ["u4", "uint32"],
  ["u8", "uint64"],
  ["f2", "float16"],
  ["f4", "float32"],
  ["f8", "float64"],
  ["c8", "complex64"],
  ["c16", "complex128"],
]);

const MAX_HEADER = 65536;
const MAX_RANK = 64;

/**
 * Reads an array that numpy saved (`numpy.save`; format versions 1 to 3 of NEP 1): little endian, C order, of
 * numbers or booleans. The file must be exactly as long as its header says. Pickled objects are refused unread.
 * @throws PareError `io/npy`
 */
export async function readNpy(source: ByteSource, signal?: AbortSignal): Promise<ResidentTensor> {
  const bad = (message: string, hint?: string) =>
    failure("io/npy", message, { location: { file: source.name }, ...(hint ? { hint } : {}) });
  const size = source.byteLength;
  const head = await source.read({ offset: 0, length: Math.min(12, size) }, signal);
  if (head.length < 10 || String.fromCharCode(...head.subarray(0, 6)) !== "\x93NUMPY")
    throw bad("it is not an .npy file: it does not start with \\x93NUMPY");
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const major = head[6]!;
  if (major < 1 || major > 3) throw bad(`it is of format version ${major}; 1 to 3 can be read`);
  const start = major === 1 ? 10 : 12;
  if (size < start) throw bad("it ends inside its header");
  const length = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (length > MAX_HEADER) throw bad(`its header of ${length} bytes is longer than ${MAX_HEADER}`);
  if (length > size - start) throw bad("it ends inside its header");

  const text = new TextDecoder().decode(await source.read({ offset: start, length }, signal)).trim();
  const descr = /'descr':\s*'([^']*)'/.exec(text)?.[1];
  const order = /'fortran_order':\s*(True|False)/.exec(text)?.[1];
  const dims = /'shape':\s*\(([\d,\s]*)\)/.exec(text)?.[1];
  if (!text.startsWith("{") || descr === undefined || order === undefined || dims === undefined)
    throw bad(`its header is not understood: ${JSON.stringify(text.slice(0, 200))}`);
  const dtype = dtypes.get(descr.slice(1));
  if (!dtype || !/^[<|]/.test(descr))
    throw bad(
      `elements of type ${JSON.stringify(descr.slice(0, 40))} cannot be read`,
      "Save it with .astype('<f4') or another little-endian number type.",
    );
  const shape = dims
    .split(",")
    .map((d) => d.trim())
    .filter(Boolean)
    .map(Number);
  if (shape.length > MAX_RANK) throw bad(`it has ${shape.length} dimensions; ${MAX_RANK} at most can be read`);
  if (order === "True" && shape.length > 1)
    throw bad("it is in Fortran order", "Save it with numpy.ascontiguousarray.");

  const count = elementCount(shape);
  const bytes = size - start - length;
  if (!Number.isSafeInteger(count) || byteLengthOf(dtype, count) !== bytes)
    throw bad(`${dtype} [${shape}] takes ${byteLengthOf(dtype, count)} bytes, but ${bytes} are there`);
  return tensor(dtype, shape, await source.read({ offset: start + length, length: bytes }, signal));
}
