import { type ByteSource, RESIDENT_LIMIT } from "@pare/core";
import { append, type Gather, gather, gathered, isMemory } from "./gather.ts";
import { type Field, type Message, type MessageName, type Payload, type Plan, planOf } from "./proto.ts";
import { textOf } from "./text.ts";
import { child, type Draft, elements, float, int32, isData, residentLimit, set, store, take } from "./values.ts";
import { error, isLoaded, lengthOf, load, MAX_DEPTH, type Reader, signed, skip, spend, tagOf } from "./wire.ts";

export interface DecodeOptions {
  readonly signal?: AbortSignal;
  /**
   * Bound on the memory that the decoded messages take, in bytes, estimated from above; tensor data over 64 KiB stays
   * in the file and is not counted. Default 1 GiB. Beyond it: `onnx/too-large`.
   */
  readonly memoryLimit?: number;
}

/** Messages up to this many bytes are loaded whole. */
const WHOLE = 2 * RESIDENT_LIMIT;
/**
 * Reads one message. Lengths, integers, nesting and memory are checked as it goes; tensor data above
 * {@link RESIDENT_LIMIT} stays in the source, which must stay open while anyone may read it.
 * @throws PareError `onnx/truncated`, `onnx/varint`, `onnx/tag`, `onnx/packed`, `onnx/too-deep`, `onnx/too-large`, with
 * the offset in the file and the path of fields to it.
 */
export async function decode<N extends MessageName>(
  source: ByteSource,
  name: N,
  options: DecodeOptions = {},
): Promise<Message<N>> {
  const window = new Uint8Array(0);
  const r: Reader = {
    source,
    signal: options.signal,
    window,
    view: new DataView(window.buffer),
    start: 0,
    pos: 0,
    ahead: 1 << 15,
    path: [],
    spent: 0,
    limit: options.memoryLimit ?? 2 ** 30,
    resident: 0,
    low: 0,
    high: 0,
  };
  options.signal?.throwIfAborted();
  return (await decodeLarge(r, planOf(name), {}, 0, source.byteLength, 0)) as Message<N>;
}

/** A message that is loaded piece by piece, from `at` to `last` of the file. */
async function decodeLarge(r: Reader, plan: Plan, m: Draft, at: number, last: number, depth: number): Promise<Draft> {
  open(r, plan, m, depth);
  for (let next = at; next < last; ) {
    const header = Math.min(20, last - next);
    if (isLoaded(r, next, header)) r.pos = next - r.start;
    else await load(r, next, header);
    const end = Math.min(r.window.length, last - r.start);
    const tag = tagOf(r, end);
    const wire = tag & 7;
    if (wire === 2) {
      const length = lengthOf(r, end, last);
      const body = r.start + r.pos;
      const field = plan.fields[tag >>> 3];
      if (field && length > WHOLE && (field.plan || isData(field))) {
        enter(r, field, m);
        if (field.plan) await decodeLarge(r, field.plan, child(field, m), body, body + length, depth + 1);
        else store(r, field, m, body, length);
        leave(r, field);
        next = body + length;
        continue;
      }
      if (length > WHOLE) spend(r, length);
      if (!isLoaded(r, next, body + length - next)) await load(r, next, body + length - next);
    } else if (wire === 3 && !isLoaded(r, next, Math.min(WHOLE, last - next)))
      await load(r, next, Math.min(WHOLE, last - next));
    r.pos = next - r.start;
    decodeField(r, plan, m, Math.min(r.window.length, last - r.start), depth);
    next = r.start + r.pos;
  }
  return close(plan, m);
}

/** A message that is loaded, from here to `end` of the window. */
function decodeSmall(r: Reader, plan: Plan, m: Draft, end: number, depth: number): Draft {
  open(r, plan, m, depth);
  while (r.pos < end) decodeField(r, plan, m, end, depth);
  return close(plan, m);
}

function open(r: Reader, plan: Plan, m: Draft, depth: number): void {
  if (depth > MAX_DEPTH)
    throw error(r, "onnx/too-deep", `messages are nested more than ${MAX_DEPTH} deep (about 64 graphs)`);
  spend(r, 128);
  for (const name of plan.gathered) if (m[name] !== undefined) m[name] = gather(bytes(m[name]));
}

function close(plan: Plan, m: Draft): Draft {
  for (const name of plan.gathered) {
    const g = m[name] as Gather | undefined;
    if (!g) continue;
    const whole = gathered(g);
    m[name] = name === "floats" && isMemory(whole) ? new Float32Array(whole.slice().buffer) : whole;
  }
  return m;
}

const bytes = (held: unknown): Payload =>
  held instanceof Float32Array ? new Uint8Array(held.buffer) : (held as Payload);

function enter(r: Reader, field: Field, m: Draft): void {
  r.path.push(field.name);
  if (field.plan && field.repeated) r.path.push(((m[field.name] ?? []) as unknown[]).length);
}

function leave(r: Reader, field: Field): void {
  if (field.plan && field.repeated) r.path.pop();
  r.path.pop();
}

function decodeField(r: Reader, plan: Plan, m: Draft, end: number, depth: number): void {
  const from = r.pos;
  const tag = tagOf(r, end);
  const wire = tag & 7;
  const field = plan.fields[tag >>> 3];
  if (field) {
    enter(r, field, m);
    const known = decodeValue(r, field, m, wire, end, depth);
    leave(r, field);
    if (known) return;
  }
  skip(r, tag, end);
  spend(r, r.pos - from + 16);
  append((m["unknown"] ??= gather()) as Gather, r.window.subarray(from, r.pos));
}

/** Reads a field's value; false when it is encoded as another type, so that it is not this field. */
function decodeValue(r: Reader, field: Field, m: Draft, wire: number, end: number, depth: number): boolean {
  const { type, name } = field;
  switch (type) {
    case "message": {
      if (wire !== 2) return false;
      const until = lengthOf(r, end) + r.pos;
      decodeSmall(r, field.plan!, child(field, m), until, depth + 1);
      return true;
    }
    case "string":
    case "bytes": {
      if (wire !== 2) return false;
      const span = take(r, lengthOf(r, end));
      spend(r, 64 + 2 * span.length);
      set(field, m, type === "string" ? textOf(span) : span.slice());
      return true;
    }
    case "int32":
    case "int64": {
      const read = (until: number) => {
        const value = type === "int32" ? int32(r, until) : signed(r, until);
        spend(r, typeof value === "number" && Math.abs(value) < 2 ** 30 ? 8 : 40);
        set(field, m, value);
      };
      if (wire === 0) {
        read(end);
        return true;
      }
      if (wire !== 2 || !field.repeated) return false;
      const until = lengthOf(r, end) + r.pos;
      while (r.pos < until) read(until);
      return true;
    }
    case "float":
      if (field.repeated) return elements(r, field, m, wire, 5, 4, end);
      if (wire !== 5) return false;
      m[name] = float(r, take(r, 4, end));
      return true;
    case "raw": {
      if (wire !== 2) return false;
      const length = lengthOf(r, end);
      if (length > residentLimit(r)) store(r, field, m, r.start + r.pos, length);
      else {
        spend(r, 128 + length);
        r.resident += length;
        m[name] = r.window.slice(r.pos, r.pos + length);
      }
      r.pos += length;
      return true;
    }
    case "floats":
      return elements(r, field, m, wire, 5, 4, end);
    case "doubles":
      return elements(r, field, m, wire, 1, 8, end);
    case "varints":
      return elements(r, field, m, wire, 0, 1, end);
    default:
      return type satisfies never;
  }
}
