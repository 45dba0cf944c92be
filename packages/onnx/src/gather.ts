import { checkRange } from "@pare/core";
import type { Payload, Stored } from "./proto.ts";

/** Bytes that arrive in pieces: short ones are copied together, long ones stay where they are. */
export interface Gather {
  readonly parts: Payload[];
  tail: Uint8Array;
  used: number;
}

export const isMemory = (payload: Payload): payload is Uint8Array => payload instanceof Uint8Array;

export const gather = (first?: Payload): Gather => ({ parts: first ? [first] : [], tail: EMPTY, used: 0 });
const EMPTY = new Uint8Array(0);

/** Copies `bytes` to the end. */
export function append(g: Gather, bytes: Uint8Array): void {
  const needed = g.used + bytes.length;
  if (needed > g.tail.length) {
    const grown = new Uint8Array(g.used === 0 ? needed : Math.max(needed, 2 * g.tail.length));
    grown.set(g.tail.subarray(0, g.used));
    g.tail = grown;
  }
  g.tail.set(bytes, g.used);
  g.used = needed;
}

/** Puts bytes that stay where they are at the end. */
export function appendStored(g: Gather, stored: Stored): void {
  settle(g);
  g.parts.push(stored);
}

function settle(g: Gather): void {
  if (g.used > 0) g.parts.push(g.used === g.tail.length ? g.tail : g.tail.slice(0, g.used));
  g.tail = EMPTY;
  g.used = 0;
}

/** Everything in order. */
export function gathered(g: Gather): Payload {
  settle(g);
  if (g.parts.length === 1) return g.parts[0]!;
  const all = gather();
  if (!g.parts.every(isMemory)) return joined(g.parts);
  for (const part of g.parts) append(all, part as Uint8Array);
  return all.used === all.tail.length ? all.tail : all.tail.slice(0, all.used);
}

function joined(parts: readonly Payload[]): Stored {
  const byteLength = parts.reduce((n, p) => n + p.byteLength, 0);
  return {
    byteLength,
    async read(range, signal) {
      checkRange(range, byteLength, "tensor data");
      const out = new Uint8Array(range.length);
      let start = 0;
      for (const part of parts) {
        const from = Math.max(range.offset, start);
        const until = Math.min(range.offset + range.length, start + part.byteLength);
        if (from < until) {
          const piece = { offset: from - start, length: until - from };
          const bytes = isMemory(part)
            ? part.subarray(piece.offset, piece.offset + piece.length)
            : await part.read(piece, signal);
          out.set(bytes, from - range.offset);
        }
        start += part.byteLength;
      }
      return out;
    },
  };
}

/** A range of something readable as bytes of its own. */
export const rangeOf = (source: Stored, offset: number, length: number): Stored => ({
  byteLength: length,
  async read(range, signal) {
    checkRange(range, length, "tensor data");
    return source.read({ offset: offset + range.offset, length: range.length }, signal);
  },
});
