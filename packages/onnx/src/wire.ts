import type { ByteSource, Int } from "@pare/core";
import { type Code, fail } from "./codes.ts";

/** Messages inside each other; a subgraph takes three (attribute, graph, node), so 64 subgraphs and what is in them. */
export const MAX_DEPTH = 200;

/** A place in a file, and the part of the file that is loaded. */
export interface Reader {
  readonly source: ByteSource;
  readonly signal: AbortSignal | undefined;
  window: Uint8Array;
  view: DataView;
  /** Where the window starts in the file. */
  start: number;
  /** Where we are in the window. */
  pos: number;
  /** Bytes to load next time. */
  ahead: number;
  /** The fields around this place and, where they are repeated, their index. */
  readonly path: (string | number)[];
  /** Memory that the result takes, estimated, and its bound. */
  spent: number;
  readonly limit: number;
  /** Tensor data in memory. */
  resident: number;
  /** The last integer that was read, as two unsigned halves. */
  low: number;
  high: number;
}

export function error(r: Reader, code: Code, message: string, hint?: string, at = r.pos): Error {
  let place = "";
  for (const step of r.path) place += typeof step === "number" ? `[${step}]` : place ? `.${step}` : step;
  return fail(code, place ? `${message}, in ${place}` : message, {
    ...(hint ? { hint } : {}),
    location: { file: r.source.name, offset: r.start + at },
  });
}

export function spend(r: Reader, bytes: number): void {
  r.spent += bytes;
  if (r.spent > r.limit)
    throw error(
      r,
      "onnx/too-large",
      `what this file describes takes more than ${r.limit} bytes of memory, its large tensors not counted`,
      "If the file is trusted, read it with a higher memoryLimit.",
    );
}

/** Makes `length` bytes of the file from `at` on be in the window, and goes there. */
export async function load(r: Reader, at: number, length: number): Promise<void> {
  const sequential = at <= r.start + r.window.length;
  r.ahead = sequential ? Math.min(2 * r.ahead, 1 << 20) : 4096;
  const size = Math.min(Math.max(length, r.ahead), r.source.byteLength - at);
  const { buffer, byteOffset, byteLength } = await r.source.read({ offset: at, length: size }, r.signal);
  // Not as a Buffer, if it is one: its slice does not copy.
  r.window = new Uint8Array(buffer, byteOffset, byteLength);
  r.view = new DataView(buffer, byteOffset, byteLength);
  r.start = at;
  r.pos = 0;
}

export const isLoaded = (r: Reader, at: number, length: number): boolean =>
  at >= r.start && at + length <= r.start + r.window.length;

/** Reads a varint into `low` and `high`. */
export function varint(r: Reader, end: number): void {
  const { window } = r;
  let { pos } = r;
  let low = 0;
  let high = 0;
  for (let i = 0; ; i++) {
    if (pos >= end) throw truncated(r, "an integer");
    const b = window[pos++]!;
    if (i < 4) low |= (b & 127) << (7 * i);
    else if (i === 4) {
      low |= b << 28;
      high = (b & 127) >> 4;
    } else if (i < 9) high |= (b & 127) << (7 * i - 32);
    else if (b > 1) throw error(r, "onnx/varint", "an integer takes more than 64 bits");
    else high |= b << 31;
    if (b < 128) break;
  }
  r.low = low >>> 0;
  r.high = high >>> 0;
  r.pos = pos;
}

const HALF = 2 ** 32;

export function signed(r: Reader, end: number): Int {
  varint(r, end);
  const high = r.high | 0;
  if (high >= -0x200000 && high < 0x200000) {
    const n = high * HALF + r.low;
    if (Number.isSafeInteger(n)) return n;
  }
  return (BigInt(high) << 32n) | BigInt(r.low);
}

/** A length that fits into the rest of the message, which ends at `end` of the window or, if given, `last` of the file. */
export function lengthOf(r: Reader, end: number, last = r.start + end): number {
  const at = r.pos;
  varint(r, end);
  const length = r.high * HALF + r.low;
  if (length > last - r.start - r.pos) throw truncated(r, `${length} bytes`, at, length);
  return length;
}

export function truncated(r: Reader, what: string, at = r.pos, length = 0): Error {
  const cut = r.start + r.pos + length >= r.source.byteLength;
  return error(
    r,
    "onnx/truncated",
    `${what} should come here, but the ${cut ? "file" : "message"} ends`,
    cut ? "The file is cut off or damaged: get it again." : "The file is damaged: get it again.",
    at,
  );
}

/** Reads a field's number and wire type. */
export function tagOf(r: Reader, end: number): number {
  const at = r.pos;
  varint(r, end);
  if (r.high > 0 || r.low < 8) throw error(r, "onnx/tag", "this is no field of a protobuf message", NOT_ONNX, at);
  return r.low;
}
const NOT_ONNX = "The file is damaged, or not an ONNX model.";

/** Goes past a field that nobody knows. */
export function skip(r: Reader, tag: number, end: number, depth = 0): void {
  switch (tag & 7) {
    case 0:
      varint(r, end);
      return;
    case 1:
      step(r, 8, end);
      return;
    case 2:
      step(r, lengthOf(r, end), end);
      return;
    case 3:
      if (depth > MAX_DEPTH) throw error(r, "onnx/too-deep", `groups are nested more than ${MAX_DEPTH} deep`);
      for (;;) {
        const inner = tagOf(r, end);
        if ((inner & 7) === 4) {
          if (inner >>> 3 === tag >>> 3) return;
          throw error(r, "onnx/tag", "a group ends that did not begin", NOT_ONNX);
        }
        skip(r, inner, end, depth + 1);
      }
    case 5:
      step(r, 4, end);
      return;
    default:
      throw error(r, "onnx/tag", `a field has wire type ${tag & 7}, which does not exist`, NOT_ONNX);
  }
}

export function step(r: Reader, bytes: number, end: number): void {
  if (bytes > end - r.pos) throw truncated(r, `${bytes} bytes`, r.pos, bytes);
  r.pos += bytes;
}
