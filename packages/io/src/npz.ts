import { type ByteSource, failure, memorySource, type ResidentTensor } from "@pare/core";
import { readNpy } from "./npy.ts";

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;
/** Longest that the end record with its comment can be. */
const MAX_END = 22 + 65535;
/** Most bytes that one array may unfold to. */
const MAX_BYTES = 2 ** 31 - 1;
const STORED = 0;
const DEFLATED = 8;

/**
 * Reads the arrays of a file that numpy saved with `savez` or `savez_compressed`: a ZIP archive of `.npy` files (PKWARE
 * APPNOTE 6.3; no ZIP64, no encryption), by their names without the ending.
 * @throws PareError `io/npz`, `io/npy`
 */
export async function readNpz(source: ByteSource, signal?: AbortSignal): Promise<Map<string, ResidentTensor>> {
  const bad = (message: string) => failure("io/npz", message, { location: { file: source.name } });
  const tailLength = Math.min(MAX_END, source.byteLength);
  const tail = await read(source.byteLength - tailLength, tailLength);
  let at = tail.byteLength - 22;
  while (at >= 0 && tail.getUint32(at, true) !== END) at--;
  if (at < 0) throw bad("it is not an .npz file: it has no end record of a ZIP archive");
  const [count, length, offset] = [
    tail.getUint16(at + 10, true),
    tail.getUint32(at + 12, true),
    tail.getUint32(at + 16, true),
  ];
  const index = await read(offset, length);
  const arrays = new Map<string, ResidentTensor>();
  let next = 0;
  for (let i = 0; i < count; i++) {
    if (next + 46 > index.byteLength || index.getUint32(next, true) !== ENTRY) throw bad(`entry ${i} is broken`);
    const u16 = (o: number) => index.getUint16(next + o, true);
    const u32 = (o: number) => index.getUint32(next + o, true);
    const [nameLength, extra, comment] = [u16(28), u16(30), u16(32)];
    if (next + 46 + nameLength > index.byteLength) throw bad(`entry ${i} ends inside its name`);
    const name = new TextDecoder().decode(new Uint8Array(index.buffer, index.byteOffset + next + 46, nameLength));
    if (name.endsWith(".npy")) {
      if (u16(8) & 1) throw bad(`${name} is encrypted`);
      const bytes = await contents(name, u16(10), u32(42), u32(20), u32(24));
      arrays.set(name.slice(0, -4), await readNpy({ ...memorySource(bytes), name: `${source.name}/${name}` }, signal));
    }
    next += 46 + nameLength + extra + comment;
  }
  if (arrays.size === 0) throw bad("it holds no array");
  return arrays;

  async function read(offset: number, length: number): Promise<DataView> {
    if (offset + length > source.byteLength) throw bad("it ends before what its index promises");
    const bytes = await source.read({ offset, length }, signal);
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  async function contents(name: string, method: number, offset: number, packed: number, size: number) {
    if (size > MAX_BYTES) throw bad(`${name} unfolds to more than ${MAX_BYTES} bytes`);
    const head = await read(offset, 30);
    if (head.getUint32(0, true) !== LOCAL) throw bad(`${name} does not begin where the index says`);
    const start = offset + 30 + head.getUint16(26, true) + head.getUint16(28, true);
    const raw = await read(start, packed);
    const bytes = new Uint8Array(raw.buffer, raw.byteOffset, raw.byteLength);
    if (method === STORED) return bytes;
    if (method !== DEFLATED) throw bad(`${name} is packed by the unknown method ${method}`);
    const out = new Uint8Array(size);
    let filled = 0;
    try {
      const stream = new Blob([bytes as BlobPart]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
      for await (const piece of stream as unknown as AsyncIterable<Uint8Array>) {
        if (filled + piece.length > size) throw bad(`${name} unfolds to more than the ${size} bytes that it promises`);
        out.set(piece, filled);
        filled += piece.length;
      }
    } catch (cause) {
      throw bad(`${name} cannot be unpacked: ${cause instanceof Error ? cause.message : String(cause)}`);
    }
    if (filled !== size) throw bad(`${name} unfolds to ${filled} bytes and promises ${size}`);
    return out;
  }
}
