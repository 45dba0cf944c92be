import type { Int } from "@pare/core";
import { fail } from "./codes.ts";
import type { Payload } from "./payload.ts";
import { type Field, type Kind, type Plan, planOf, type Scalar, scalarWidth, widthOf } from "./plan.ts";
import type { TableName, Tables } from "./schema.gen.ts";

/** An encoded flatbuffer: pieces in order, data that is not in memory still where it is. */
export interface Encoded {
  readonly byteLength: number;
  readonly pieces: readonly (Uint8Array | Payload)[];
}

/** Weights are aligned so that they can be mapped. */
export const DATA_ALIGNMENT = 16;

/** Where offsets end: readers take them for signed. */
export const FLATBUFFER_LIMIT = 2 ** 31 - 1;

/** What is written, front to back: tables before what they point at, all data at the end. */
interface Out {
  bytes: Uint8Array;
  view: DataView;
  size: number;
  /** Layouts by their content: tables with the same share one. */
  readonly vtables: Map<string, number>;
  /** Data, and the place of the offset that points at it. */
  readonly data: { readonly at: number; readonly payload: Payload }[];
}

type Values = Readonly<Record<string, unknown>>;

/**
 * Encodes a table and all it holds as a flatbuffer with TFLite's identifier. Fields that are missing or have their default
 * value take no place. Data is not read. The same table gives the same bytes.
 * @throws PareError `tflite/value` where a value does not fit its field, `tflite/inline-limit`
 */
export function encode<N extends TableName>(root: N, value: Tables[N]): Encoded {
  const bytes = new Uint8Array(4096);
  const o: Out = { bytes, view: new DataView(bytes.buffer), size: 8, vtables: new Map(), data: [] };
  bytes.set(utf8.encode("TFL3"), 4);
  const start = writeTable(o, planOf(root), value as Values, root);
  o.view.setUint32(0, start, true);
  const pieces: (Uint8Array | Payload)[] = [];
  let end = o.size;
  const tails = o.data.map(({ at, payload }) => {
    const first = Math.ceil((end + 4) / DATA_ALIGNMENT) * DATA_ALIGNMENT;
    const head = new Uint8Array(first - end);
    new DataView(head.buffer).setUint32(head.length - 4, payload.byteLength, true);
    o.view.setUint32(at, first - 4 - at, true);
    end = first + payload.byteLength;
    return [head, payload] as const;
  });
  pieces.push(o.bytes.subarray(0, o.size));
  for (const [head, payload] of tails) pieces.push(head, payload.bytes ?? payload);
  return { byteLength: end, pieces };
}

/** Puts `length` bytes of zeros at the end, so that what stands `skip` bytes into them is aligned. */
function grow(o: Out, length: number, align: number, skip = 0): number {
  const at = Math.ceil((o.size + skip) / align) * align - skip;
  const size = at + length;
  if (size > FLATBUFFER_LIMIT)
    throw fail("tflite/inline-limit", `what describes the model takes more than ${FLATBUFFER_LIMIT} bytes`);
  if (size > o.bytes.length) {
    const grown = new Uint8Array(Math.max(size, 2 * o.bytes.length));
    grown.set(o.bytes.subarray(0, o.size));
    o.bytes = grown;
    o.view = new DataView(grown.buffer);
  }
  o.size = size;
  return at;
}

/** A part of a field that stands in its table. */
interface Slot {
  readonly id: number;
  readonly width: number;
  write(at: number): void;
}

function writeTable(o: Out, plan: Plan, values: Values, path: string): number {
  const slots: Slot[] = [];
  const children: (() => void)[] = [];
  for (const field of plan.fields) {
    const value = values[field.name];
    if (value !== undefined) addSlots(o, field, value, `${path}.${field.name}`, slots, children);
  }
  // Wide ones first, so that no gaps come between them.
  slots.sort((a, b) => b.width - a.width || a.id - b.id);
  const places = new Uint16Array(2 + Math.max(0, ...slots.map((s) => s.id + 1)));
  let size = 4;
  for (const slot of slots) {
    places[2 + slot.id] = size;
    size += slot.width;
  }
  places[0] = 2 * places.length;
  places[1] = size;
  const vtable = writeLayout(o, places);
  const at = grow(o, size, Math.max(4, slots[0]?.width ?? 4), 4);
  o.view.setInt32(at, at - vtable, true);
  for (const slot of slots) slot.write(at + places[2 + slot.id]!);
  for (const child of children) child();
  return at;
}

function writeLayout(o: Out, places: Uint16Array): number {
  const key = places.join();
  const known = o.vtables.get(key);
  if (known !== undefined) return known;
  const at = grow(o, 2 * places.length, 2);
  places.forEach((place, i) => {
    o.view.setUint16(at + 2 * i, place, true);
  });
  o.vtables.set(key, at);
  return at;
}

function addSlots(o: Out, field: Field, value: unknown, path: string, slots: Slot[], children: (() => void)[]): void {
  /** An offset to what `write` puts behind the table. */
  const pointer = (id: number, write: () => number) => {
    let from = 0;
    slots.push({ id, width: 4, write: (at) => (from = at) });
    children.push(() => {
      const to = write();
      o.view.setUint32(from, to - from, true);
    });
  };
  switch (field.is) {
    case "scalar": {
      const number = numberOf(field, value, path);
      if (Object.is(Number(number), field.fallback)) return;
      slots.push({
        id: field.id,
        width: scalarWidth[field.scalar],
        write: (at) => setScalar(o.view, at, field.scalar, number, path),
      });
      return;
    }
    case "union": {
      const { type, value: inner } = value as { type: TableName; value: Values };
      const index = field.members.indexOf(type);
      if (index < 0) throw fail("tflite/value", `${path}: ${type} is none of its tables`);
      slots.push({ id: field.id, width: 1, write: (at) => o.view.setUint8(at, index + 1) });
      pointer(field.id + 1, () => writeTable(o, planOf(type), inner, path));
      return;
    }
    case "payload": {
      const payload = value as Payload;
      slots.push({ id: field.id, width: 4, write: (at) => o.data.push({ at, payload }) });
      return;
    }
    case "vector":
      pointer(field.id, () => writeVector(o, field.of, field.align, value as ArrayLike<unknown>, path));
      return;
    default:
      pointer(field.id, () => writeOne(o, field, value, path));
  }
}

const writeOne = (o: Out, kind: Exclude<Kind, { is: "scalar" }>, value: unknown, path: string): number =>
  kind.is === "string" ? writeText(o, value as string) : writeTable(o, planOf(kind.table), value as Values, path);

function writeText(o: Out, text: string): number {
  const bytes = utf8.encode(text);
  const at = grow(o, 5 + bytes.length, 4);
  o.view.setUint32(at, bytes.length, true);
  o.bytes.set(bytes, at + 4);
  return at;
}

const utf8 = new TextEncoder();

function writeVector(o: Out, of: Kind, align: number, items: ArrayLike<unknown>, path: string): number {
  const width = widthOf(of);
  const at = grow(o, 4 + items.length * width, align, 4);
  o.view.setUint32(at, items.length, true);
  const start = at + 4;
  if (items instanceof Uint8Array) o.bytes.set(items, start);
  else
    for (let i = 0; i < items.length; i++) {
      const place = start + i * width;
      const inner = `${path}[${i}]`;
      if (of.is === "scalar") setScalar(o.view, place, of.scalar, numberOf(of, items[i], inner), inner);
      else {
        const to = writeOne(o, of, items[i], inner);
        o.view.setUint32(place, to - place, true);
      }
    }
  return at;
}

function numberOf(kind: { readonly names?: readonly string[] }, value: unknown, path: string): Int {
  if (typeof value === "boolean") return Number(value);
  if (typeof value !== "string") return value as Int;
  const index = kind.names?.indexOf(value) ?? -1;
  if (index < 0) throw fail("tflite/value", `${path}: ${value} is no value that this version knows`);
  return index;
}

function setScalar(v: DataView, at: number, type: Scalar, value: Int, path: string): void {
  const bits = 8 * scalarWidth[type];
  if (type === "f32") v.setFloat32(at, Number(value), true);
  else if (type === "f64") v.setFloat64(at, Number(value), true);
  else {
    const n = typeof value === "bigint" || Number.isSafeInteger(value) ? BigInt(value) : undefined;
    if (n === undefined || (type[0] === "i" ? BigInt.asIntN(bits, n) : BigInt.asUintN(bits, n)) !== n)
      throw fail("tflite/value", `${path}: ${value} is no ${type}`);
    if (bits === 8) v.setUint8(at, Number(n) & 255);
    else if (bits === 16) v.setUint16(at, Number(n) & 65535, true);
    else if (bits === 32) v.setUint32(at, Number(n) >>> 0, true);
    else v.setBigUint64(at, BigInt.asUintN(64, n), true);
  }
}
