import { byteLengthOf, type DType, dtypeBits, elementCount, lazyTensor, memo, type Tensor, tensor } from "@pare/core";
import { fail } from "./codes.ts";
import { isMemory } from "./gather.ts";
import type { Payload, Stored } from "./proto.ts";

/** Elements between two places that the index of a list in the file remembers. */
const BLOCK = 1 << 16;

/** Integers that a `varints` list holds for one tensor: one for each element, or for each byte of packed elements. */
const integers = (dtype: DType, count: number) => (dtypeBits[dtype] < 8 ? byteLengthOf(dtype, count) : count);

/** A tensor whose elements are a list of varints. */
export function varintTensor(dtype: DType, shape: readonly number[], list: Payload): Tensor {
  const count = integers(dtype, elementCount(shape));
  const width = Math.max(1, dtypeBits[dtype] / 8);
  if (isMemory(list)) {
    // Each varint takes a byte at least, so that no shape makes us allocate more than the file has.
    if (list.length < count) throw tooFew(list.length, count);
    const out = new Uint8Array(count * width);
    const found = unpack(list, out, width);
    if (found !== count) throw tooFew(found, count);
    return tensor(dtype, shape, out);
  }
  const index = memo((signal) => blocksOf(list, count, signal));
  return lazyTensor({
    dtype,
    shape,
    async read({ offset, length }, signal) {
      if (length === 0) return new Uint8Array(0);
      const starts = await index(signal);
      const first = Math.floor(offset / width / BLOCK);
      const last = Math.ceil((offset + length) / width / BLOCK);
      const from = starts[first]!;
      const bytes = await list.read({ offset: from, length: starts[last]! - from }, signal);
      const out = new Uint8Array((Math.min(count, last * BLOCK) - first * BLOCK) * width);
      unpack(bytes, out, width);
      return out.subarray(offset - first * BLOCK * width, offset + length - first * BLOCK * width);
    },
  });
}

const tooFew = (found: number, count: number) =>
  fail("onnx/tensor-size", `the list holds ${found} integers where the shape takes ${count}`);

/** Reads varints into `out`, little endian, `width` bytes each, and counts them. What is too much is only counted. */
function unpack(list: Uint8Array, out: Uint8Array, width: number): number {
  const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
  let count = 0;
  for (let at = 0; at < list.length; count++) {
    let low = 0;
    let high = 0;
    let b = 128;
    for (let i = 0; b > 127 && at < list.length; i++) {
      b = list[at++]!;
      if (i < 4) low |= (b & 127) << (7 * i);
      else if (i === 4) {
        low |= b << 28;
        high = (b & 127) >> 4;
      } else if (i < 10) high |= (b & 127) << (7 * i - 32);
      else throw fail("onnx/varint", "an integer of tensor data takes more than 64 bits");
    }
    if (b > 127) throw fail("onnx/varint", "tensor data ends inside an integer");
    const to = count * width;
    if (to >= out.length) continue;
    if (width === 1) out[to] = low;
    else if (width === 2) view.setUint16(to, low & 0xffff, true);
    else view.setUint32(to, low, true);
    if (width === 8) view.setUint32(to + 4, high, true);
  }
  return count;
}

/** Where each block of the list starts, and its end. */
async function blocksOf(list: Stored, count: number, signal?: AbortSignal): Promise<readonly number[]> {
  const starts = [0];
  let seen = 0;
  const step = 1 << 20;
  for (let offset = 0; offset < list.byteLength; offset += step) {
    const bytes = await list.read({ offset, length: Math.min(step, list.byteLength - offset) }, signal);
    for (let i = 0; i < bytes.length; i++) {
      if (bytes[i]! > 127) continue;
      if (++seen % BLOCK === 0 && seen < count) starts.push(offset + i + 1);
    }
  }
  if (seen !== count) throw tooFew(seen, count);
  starts.push(list.byteLength);
  return starts;
}
