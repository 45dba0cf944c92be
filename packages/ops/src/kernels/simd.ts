import { wasm } from "./kernels.gen.ts";

/** Elements that the kernels take at once: they and their results stay in the second-level cache. */
export const BLOCK = 16384;

/** The functions of kernels.wat; sizes are in bytes. */
interface Kernels {
  readonly memory: WebAssembly.Memory;
  absSum(end: number): void;
  nonZeros(end: number): void;
  zeroBelow(end: number, limit: number): void;
  toHalf(end: number): void;
  halfStatistics(end: number): void;
  fixedStatistics(end: number, factor: number, low: number, high: number): void;
  minMaxRows(rows: number): void;
  minMaxColumns(end: number, width: number): void;
  codeRows(rows: number): void;
  codeColumns(end: number, width: number): void;
  packInt4(end: number): void;
  toInt8(end: number): void;
  toInt16(end: number): void;
}

/** The kernels and their memory: see kernels.wat for what stands where. */
export interface Simd extends Kernels {
  readonly x: Float32Array;
  /** Where results begin, in `memory`. */
  readonly y: number;
  readonly scales: Float32Array;
  readonly zeroPoints: Int32Array;
  readonly minima: Float32Array;
  readonly maxima: Float32Array;
  readonly lengths: Int32Array;
  /** Not for the kernels: the group of each run. */
  readonly groups: Int32Array;
  readonly statistics: Float64Array;
}

let made: Simd | null | undefined;

/**
 * The one instance of the kernels, made when first asked for; null where WebAssembly or its SIMD is missing or forbidden
 * (content security policies), when the plain loops are used.
 */
export function simd(): Simd | null {
  if (made === undefined)
    try {
      made = instantiate();
    } catch {
      made = null;
    }
  return made;
}

function instantiate(): Simd {
  const module = new WebAssembly.Module(Uint8Array.from(atob(wasm), (c) => c.charCodeAt(0)));
  const kernels = new WebAssembly.Instance(module).exports as unknown as Kernels;
  const { buffer } = kernels.memory;
  const room = BLOCK + 64;
  return {
    ...kernels,
    x: new Float32Array(buffer, 0, room),
    y: 0x10100,
    scales: new Float32Array(buffer, 0x20200, room),
    zeroPoints: new Int32Array(buffer, 0x30300, room),
    minima: new Float32Array(buffer, 0x20200, room),
    maxima: new Float32Array(buffer, 0x30300, room),
    lengths: new Int32Array(buffer, 0x40400, room),
    groups: new Int32Array(room),
    statistics: new Float64Array(buffer, 0x50500, 12),
  };
}

/**
 * Goes through `data` block by block; with kernels, each block stands in their memory, followed by a vector of zeros,
 * when `visit` is called.
 */
export function eachBlock(w: Simd | null, data: Float32Array, visit: (block: Float32Array, at: number) => void): void {
  for (let at = 0; at < data.length; at += BLOCK) {
    const block = data.subarray(at, at + BLOCK);
    if (w) {
      w.x.set(block);
      w.x.fill(0, block.length, block.length + 4);
    }
    visit(block, at);
  }
}
