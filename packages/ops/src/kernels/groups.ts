import type { StorageArray } from "@pare/core";
import { BLOCK, type Simd, simd } from "./simd.ts";
import { ROUND } from "./statistics.ts";

/**
 * Which group each element of a piece is of. Calls `visit` for runs of elements, in order and without gaps, that cover
 * the piece: the elements `from + i` until `to` are of the groups `group + (offset + i) % width`.
 */
export type Runs = (visit: (from: number, to: number, group: number, width: number, offset: number) => void) => void;

/** Smallest and largest value of each group; infinities the wrong way round without elements, NaN when one is among them. */
export interface Ranges {
  readonly min: Float32Array;
  readonly max: Float32Array;
}

/** Widens `ranges` to the elements of a piece. */
export function minMax(data: Float32Array, runs: Runs, { min, max }: Ranges, w = simd()): void {
  if (w)
    sweep(w, data, runs, {
      rows(count) {
        w.minMaxRows(count * 4);
        const { groups, minima, maxima } = w;
        for (let k = 0; k < count; k++) {
          const g = groups[k]!;
          min[g] = Math.min(min[g]!, minima[k]!);
          max[g] = Math.max(max[g]!, maxima[k]!);
        }
      },
      columns(count, columns) {
        // Whole vectors go a little behind the end: there they find elements of the same columns.
        const { width } = columns;
        if (count > width) w.x.copyWithin(count, count - width, count - width + 4);
        gather(min, w.minima, columns);
        gather(max, w.maxima, columns);
        w.minMaxColumns(count * 4, width * 4);
        scatter(w.minima, min, columns);
        scatter(w.maxima, max, columns);
      },
    });
  else
    runs((from, to, group, width, offset) => {
      for (let i = from, k = offset; i < to; i++) {
        const g = group + k;
        min[g] = Math.min(min[g]!, data[i]!);
        max[g] = Math.max(max[g]!, data[i]!);
        if (++k === width) k = 0;
      }
    });
}

/** Integer formats of codes, and their bounds. */
export const codeFormats = {
  int4: { bits: 4, min: -8, max: 7 },
  int8: { bits: 8, min: -128, max: 127 },
  int16: { bits: 16, min: -32768, max: 32767 },
  int32: { bits: 32, min: -2147483648, max: 2147483647 },
} as const;
export type CodeFormat = keyof typeof codeFormats;

/** Arrays that hold codes; those of int4 are packed, two a byte, the first in the low half. */
export interface CodeArrays {
  readonly int4: Uint8Array;
  readonly int8: Int8Array;
  readonly int16: Int16Array;
  readonly int32: Int32Array;
}

/**
 * Codes of a piece, `saturate(round(x / scale) + zeroPoint)` in float32, ties to even (ONNX QuantizeLinear); NaN gets 0.
 * `scale` and `zeroPoint` have an element for each group.
 */
export function toCodes<F extends CodeFormat>(
  format: F,
  data: Float32Array,
  runs: Runs,
  { scale, zeroPoint }: { readonly scale: Float32Array; readonly zeroPoint: Int32Array },
  w = simd(),
): CodeArrays[F] {
  if (format === "int4") return packNibbles(toCodes("int8", data, runs, { scale, zeroPoint }, w), w) as CodeArrays[F];
  const { bits, min, max } = codeFormats[format];
  const Codes = bits === 32 ? Int32Array : bits === 16 ? Int16Array : Int8Array;
  const codes = new Codes(data.length);
  if (w) {
    const made = new Codes(w.memory.buffer, w.y);
    sweep(w, data, runs, {
      rows(count) {
        const { groups, scales, zeroPoints } = w;
        for (let k = 0; k < count; k++) {
          scales[k] = scale[groups[k]!]!;
          zeroPoints[k] = zeroPoint[groups[k]!]!;
        }
        w.codeRows(count * 4);
      },
      columns(count, columns) {
        gather(scale, w.scales, columns);
        gather(zeroPoint, w.zeroPoints, columns);
        w.codeColumns(count * 4, columns.width * 4);
      },
      done(at, count) {
        if (bits === 8) w.toInt8(count * 4);
        else if (bits === 16) w.toInt16(count * 4);
        codes.set(made.subarray(0, count), at);
      },
    });
  } else
    runs((from, to, group, width, offset) => {
      for (let i = from, k = offset; i < to; i++) {
        const g = group + k;
        const code = Math.fround(Math.fround(data[i]! / scale[g]!) + ROUND - ROUND + zeroPoint[g]!);
        // NaN goes through both, and is stored as 0.
        codes[i] = Math.max(min, Math.min(max, code));
        if (++k === width) k = 0;
      }
    });
  return codes as StorageArray as CodeArrays[F];
}

/** Two codes a byte, the first in the low half, saturated. */
function packNibbles(codes: Int8Array, w: Simd | null): Uint8Array {
  const packed = new Uint8Array(Math.ceil(codes.length / 2));
  if (w) {
    const x = new Int8Array(w.memory.buffer, 0, BLOCK * 4 + 16);
    const y = new Uint8Array(w.memory.buffer, w.y);
    for (let at = 0; at < codes.length; at += BLOCK * 4) {
      const block = codes.subarray(at, at + BLOCK * 4);
      x.set(block);
      x.fill(0, block.length, block.length + 1);
      w.packInt4(block.length);
      packed.set(y.subarray(0, Math.ceil(block.length / 2)), at / 2);
    }
  } else {
    const nibble = (code: number) => Math.max(-8, Math.min(7, code)) & 15;
    for (let i = 0; i < packed.length; i++) packed[i] = nibble(codes[2 * i]!) | (nibble(codes[2 * i + 1] ?? 0) << 4);
  }
  return packed;
}

/** The columns of a block, in order: `head` groups from `first`, then those from `group`; `width` in all. */
interface Columns {
  readonly first: number;
  readonly head: number;
  readonly group: number;
  readonly width: number;
}

/** Takes the elements of a piece to the kernels, block by block. */
function sweep(
  w: Simd,
  data: Float32Array,
  runs: Runs,
  on: {
    /** The block is of `count` runs of one group each, whose groups and lengths are in `w`. */
    rows(count: number): void;
    /** The block is of `count` elements in rows of columns. */
    columns(count: number, columns: Columns): void;
    done?(at: number, count: number): void;
  },
): void {
  const { groups, lengths } = w;
  let at = 0;
  let pending = 0;
  let rows = 0;
  const load = (count: number) => w.x.set(data.subarray(at, at + count));
  const done = (count: number) => {
    on.done?.(at, count);
    at += count;
  };
  const flush = () => {
    if (rows === 0) return;
    load(pending);
    on.rows(rows);
    done(pending);
    pending = rows = 0;
  };
  runs((from, to, group, width, offset) => {
    if (width === 1)
      for (let i = from; i < to; ) {
        const count = Math.min(to - i, BLOCK - pending);
        groups[rows] = group;
        lengths[rows++] = count * 4;
        pending += count;
        i += count;
        if (pending === BLOCK) flush();
      }
    else {
      flush();
      while (at < to) {
        const count = Math.min(to - at, BLOCK);
        const column = (offset + at - from) % width;
        load(count);
        const head = Math.min(count, width - column);
        on.columns(count, { first: group + column, head, group, width: Math.min(count, width) });
        done(count);
      }
    }
  });
  flush();
}

type Numbers = Float32Array | Int32Array;

function gather<T extends Numbers>(all: T, staged: T, { first, head, group, width }: Columns): void {
  copy(all, first, staged, 0, head);
  copy(all, group, staged, head, width - head);
}

function scatter<T extends Numbers>(staged: T, all: T, { first, head, group, width }: Columns): void {
  copy(staged, 0, all, first, head);
  copy(staged, head, all, group, width - head);
}

/** Copies elements; few of them without making views. */
function copy<T extends Numbers>(from: T, at: number, to: T, start: number, count: number): void {
  if (count > 24) to.set(from.subarray(at, at + count), start);
  else for (let i = 0; i < count; i++) to[start + i] = from[at + i]!;
}
