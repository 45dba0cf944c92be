import { RESIDENT_LIMIT } from "@pare/core";
import { append, appendStored, type Gather, gather, rangeOf } from "./gather.ts";
import type { Field } from "./proto.ts";
import { error, lengthOf, type Reader, spend, step, varint } from "./wire.ts";

/** A message that is being read. */
export type Draft = Record<string, unknown>;

/** While less tensor data than this is in memory, all small tensors are loaded; after it only the smallest. */
const RESIDENT_TOTAL = 256 << 20;

export const residentLimit = (r: Reader) => (r.resident < RESIDENT_TOTAL ? RESIDENT_LIMIT : 1024);

export const isData = ({ type }: Field) =>
  type === "raw" || type === "floats" || type === "doubles" || type === "varints";

/** The message to read a field's message into: a new one, or, where the file gives a singular field twice, the first. */
export function child(field: Field, m: Draft): Draft {
  if (field.repeated) {
    const made: Draft = {};
    ((m[field.name] ??= []) as Draft[]).push(made);
    return made;
  }
  for (const rival of field.rivals ?? []) delete m[rival];
  return (m[field.name] ??= {}) as Draft;
}

export function set(field: Field, m: Draft, value: unknown): void {
  if (field.repeated) ((m[field.name] ??= []) as unknown[]).push(value);
  else {
    for (const rival of field.rivals ?? []) delete m[rival];
    m[field.name] = value;
  }
}

export function store(r: Reader, field: Field, m: Draft, offset: number, length: number): void {
  spend(r, 128);
  const width = field.type === "floats" ? 4 : field.type === "doubles" ? 8 : 1;
  if (length % width !== 0) throw notWhole(r, length, width);
  const stored = rangeOf(r.source, offset, length);
  if (field.type === "raw") m[field.name] = stored;
  else appendStored((m[field.name] ??= gather()) as Gather, stored);
}

const notWhole = (r: Reader, length: number, width: number) =>
  error(r, "onnx/packed", `a list of ${length} bytes does not hold whole elements of ${width} bytes`);

/** Elements of a packed list as their bytes, one (of wire type `single`) or many. */
export function elements(
  r: Reader,
  field: Field,
  m: Draft,
  wire: number,
  single: number,
  width: number,
  end: number,
): boolean {
  if (wire !== single && wire !== 2) return false;
  let length = width;
  if (wire === 2) length = lengthOf(r, end);
  else if (single === 0) {
    const from = r.pos;
    varint(r, end);
    length = r.pos - from;
    r.pos = from;
  }
  if (length > residentLimit(r) && isData(field)) {
    store(r, field, m, r.start + r.pos, length);
    r.pos += length;
    return true;
  }
  if (length % width !== 0) throw notWhole(r, length, width);
  // A list often comes one element at a time: growing by doubling costs up to twice its bytes.
  spend(r, 2 * length + (wire === 2 ? 128 : 0));
  r.resident += length;
  const span = take(r, length, end);
  if (single === 0) checkVarints(r, span, end);
  append((m[field.name] ??= gather()) as Gather, span);
  return true;
}

function checkVarints(r: Reader, span: Uint8Array, end: number): void {
  const after = r.pos;
  r.pos -= span.length;
  const until = Math.min(after, end);
  while (r.pos < until) varint(r, until);
}

export function take(r: Reader, length: number, end = r.window.length): Uint8Array {
  const from = r.pos;
  step(r, length, end);
  return r.window.subarray(from, r.pos);
}

export function int32(r: Reader, end: number): number {
  varint(r, end);
  return r.low | 0;
}

const QUIET_NAN = 0x7fc00000;

export function float(r: Reader, span: Uint8Array): number | Float32Array {
  const at = span.byteOffset - r.window.byteOffset;
  const value = r.view.getFloat32(at, true);
  return Number.isNaN(value) && r.view.getUint32(at, true) !== QUIET_NAN
    ? new Float32Array(span.slice().buffer)
    : value;
}
