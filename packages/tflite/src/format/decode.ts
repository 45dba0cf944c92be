import type { ByteSource, Int } from "@pare/core";
import { type Code, fail } from "./codes.ts";
import { type Paged, paged } from "./paged.ts";
import { type Payload, storedAt } from "./payload.ts";
import { type Field, type Kind, type Plan, planOf, type Scalar, scalarWidth, widthOf } from "./plan.ts";
import type { TableName, Tables } from "./schema.gen.ts";

export interface DecodeOptions {
  readonly signal?: AbortSignal;
  /** Bound on the memory that the decoded tables take, in bytes, estimated from above. Default 1 GiB. */
  readonly memoryLimit?: number;
}

interface Reader {
  readonly file: Paged;
  readonly size: number;
  readonly limit: number;
  /** Layouts by their position: many tables share one. */
  readonly vtables: Map<number, DataView>;
  spent: number;
  /** End of the last byte that was part of the flatbuffer. */
  end: number;
}

type Draft = Record<string, unknown>;

/**
 * Reads a flatbuffer by its schema, everything in it or nothing: each offset, length, alignment and layout is checked
 * before it is followed; a field or table that the schema does not know is an error, an unknown value of an enumeration
 * its number. Fields with their default value are left out. Data of more than 64 KiB stays in `source`.
 * @returns the root, and where the flatbuffer ends
 * @throws PareError `tflite/truncated`, `tflite/alignment`, `tflite/table`, `tflite/unknown-field`, `tflite/union`,
 * `tflite/string`, `tflite/too-large`, with the path of fields and the offset in the file
 */
export async function decode<N extends TableName>(
  source: ByteSource,
  root: N,
  options: DecodeOptions = {},
): Promise<{ readonly root: Tables[N]; readonly end: number }> {
  const r: Reader = {
    file: paged(source, options.signal),
    size: source.byteLength,
    limit: options.memoryLimit ?? 2 ** 30,
    vtables: new Map(),
    spent: 0,
    end: 8,
  };
  const at = view(await r.file.bytes(0, 8, "the header")).getUint32(0, true);
  return { root: (await table(r, planOf(root), at, root)) as Tables[N], end: r.end };
}

const view = (b: Uint8Array): DataView => new DataView(b.buffer, b.byteOffset, b.byteLength);

const wrong = (r: Reader, code: Code, message: string, at: number, path: string) =>
  fail(code, `${path}: ${message}`, { location: { file: r.file.source.name, offset: at } });

async function load(r: Reader, at: number, length: number, align: number, path: string): Promise<DataView> {
  if (at % align !== 0) throw wrong(r, "tflite/alignment", `it must stand at a multiple of ${align}`, at, path);
  const bytes = r.file.bytes(at, length, path);
  r.end = Math.max(r.end, at + length);
  return view(bytes instanceof Uint8Array ? bytes : await bytes);
}

function spend(r: Reader, bytes: number, at: number, path: string): void {
  r.spent += bytes;
  if (r.spent > r.limit) throw wrong(r, "tflite/too-large", `more than ${r.limit} bytes of description`, at, path);
}

async function layout(r: Reader, at: number, path: string): Promise<DataView> {
  const known = r.vtables.get(at);
  if (known) return known;
  const size = (await load(r, at, 4, 2, `${path}'s layout`)).getUint16(0, true);
  if (size < 4 || size % 2 !== 0) throw wrong(r, "tflite/table", `its layout cannot take ${size} bytes`, at, path);
  const vtable = await load(r, at, size, 2, `${path}'s layout`);
  // The page it is on may go.
  const kept = view(new Uint8Array(vtable.buffer, vtable.byteOffset, size).slice());
  r.vtables.set(at, kept);
  spend(r, size, at, path);
  return kept;
}

async function table(r: Reader, plan: Plan, at: number, path: string): Promise<Draft> {
  const vtable = await layout(r, at - (await load(r, at, 4, 4, path)).getInt32(0, true), path);
  const size = vtable.getUint16(2, true);
  if (size < 4) throw wrong(r, "tflite/table", `a table cannot take ${size} bytes`, at, path);
  const inline = await load(r, at, size, 4, path);
  const places = vtable.byteLength / 2 - 2;
  spend(r, 64 + 16 * plan.ids, at, path);
  for (let id = plan.ids; id < places; id++)
    if (vtable.getUint16(4 + 2 * id, true) !== 0)
      throw fail("tflite/unknown-field", `${path}: ${plan.table} has a field ${id} that this version does not know`, {
        location: { file: r.file.source.name, offset: at },
        hint: "The file is newer than this version of @pare/tflite.",
      });
  /** Offset of a field in the table; 0 where it is missing. */
  const place = (id: number, width: number, name: string): number => {
    const offset = id < places ? vtable.getUint16(4 + 2 * id, true) : 0;
    if (offset === 0) return 0;
    if (offset < 4 || offset + width > size)
      throw wrong(r, "tflite/table", "the field lies outside its table", at + offset, `${path}.${name}`);
    if ((at + offset) % width !== 0)
      throw wrong(r, "tflite/alignment", `it must stand at a multiple of ${width}`, at + offset, `${path}.${name}`);
    return offset;
  };
  const draft: Draft = {};
  for (const field of plan.fields) {
    const value = await fieldValue(r, field, inline, at, place, `${path}.${field.name}`);
    if (value !== undefined) draft[field.name] = value;
  }
  return draft;
}

async function fieldValue(
  r: Reader,
  field: Field,
  inline: DataView,
  at: number,
  place: (id: number, width: number, name: string) => number,
  path: string,
): Promise<unknown> {
  const follow = (id: number) => {
    const offset = place(id, 4, field.name);
    return offset === 0 ? 0 : target(inline, offset, at);
  };
  switch (field.is) {
    case "scalar": {
      const offset = place(field.id, scalarWidth[field.scalar], field.name);
      if (offset === 0) return undefined;
      const value = scalar(inline, offset, field.scalar);
      return Object.is(Number(value), field.fallback) ? undefined : named(field, value);
    }
    case "union": {
      const offset = place(field.id, 1, field.name);
      const type = offset === 0 ? 0 : inline.getUint8(offset);
      if (type === 0) return undefined;
      const member = field.members[type - 1];
      const to = follow(field.id + 1);
      if (!member) throw wrong(r, "tflite/union", `number ${type} is no table that this version knows`, at, path);
      if (to === 0) throw wrong(r, "tflite/union", `it says ${member}, but holds nothing`, at, path);
      return { type: member, value: await table(r, planOf(member), to, path) };
    }
    default: {
      const to = follow(field.id);
      if (to === 0) return undefined;
      if (field.is === "string") return text(r, to, path);
      if (field.is === "table") return table(r, planOf(field.table), to, path);
      return field.is === "payload" ? payload(r, to, path) : vector(r, field.of, to, path);
    }
  }
}

/** Where the offset that stands at `offset` of what stands at `at` points: always forward. */
const target = (inline: DataView, offset: number, at: number): number => at + offset + inline.getUint32(offset, true);

function scalar(v: DataView, at: number, type: Scalar): Int | boolean {
  switch (type) {
    case "bool":
      return v.getUint8(at) !== 0;
    case "i8":
      return v.getInt8(at);
    case "u8":
      return v.getUint8(at);
    case "i16":
      return v.getInt16(at, true);
    case "u16":
      return v.getUint16(at, true);
    case "i32":
      return v.getInt32(at, true);
    case "u32":
      return v.getUint32(at, true);
    case "f32":
      return v.getFloat32(at, true);
    case "f64":
      return v.getFloat64(at, true);
    case "i64":
      return exact(v.getBigInt64(at, true));
    case "u64":
      return exact(v.getBigUint64(at, true));
  }
}

const exact = (n: bigint): Int => (Number.isSafeInteger(Number(n)) ? Number(n) : n);

const named = (kind: { readonly names?: readonly string[] }, value: Int | boolean): unknown =>
  kind.names?.[value as number] ?? value;

async function text(r: Reader, at: number, path: string): Promise<string> {
  const length = (await load(r, at, 4, 4, path)).getUint32(0, true);
  const bytes = await load(r, at + 4, length + 1, 1, path);
  spend(r, 2 * length, at, path);
  if (bytes.getUint8(length) !== 0) throw wrong(r, "tflite/string", "the string has no end", at, path);
  try {
    return utf8.decode(new Uint8Array(bytes.buffer, bytes.byteOffset, length));
  } catch {
    throw wrong(r, "tflite/string", "the string is not UTF-8", at, path);
  }
}
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

async function vector(r: Reader, of: Kind, at: number, path: string): Promise<unknown> {
  const count = (await load(r, at, 4, 4, path)).getUint32(0, true);
  const width = widthOf(of);
  const start = at + 4;
  if (count * width > r.size - start)
    throw wrong(r, "tflite/truncated", `${count} elements run past the end of the file`, at, path);
  spend(r, 32 + count * Math.max(width, 16), at, path);
  const items = await load(r, start, count * width, width, path);
  if (of.is === "scalar") {
    if (of.scalar === "u8") return new Uint8Array(items.buffer, items.byteOffset, count).slice();
    return Array.from({ length: count }, (_, i) => named(of, scalar(items, i * width, of.scalar)));
  }
  const offsets = Array.from({ length: count }, (_, i) => target(items, 4 * i, start));
  const list: unknown[] = [];
  for (const [i, to] of offsets.entries()) {
    const inner = `${path}[${i}]`;
    list.push(of.is === "string" ? await text(r, to, inner) : await table(r, planOf(of.table), to, inner));
  }
  return list;
}

async function payload(r: Reader, at: number, path: string): Promise<Payload> {
  const length = (await load(r, at, 4, 4, path)).getUint32(0, true);
  if (length > r.size - at - 4)
    throw wrong(r, "tflite/truncated", `${length} bytes run past the end of the file`, at, path);
  r.end = Math.max(r.end, at + 4 + length);
  return storedAt(r.file.source, at + 4, length, (bytes) => spend(r, bytes, at, path));
}
