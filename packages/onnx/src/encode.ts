import type { Int } from "@pare/core";
import { isMemory } from "./gather.ts";
import { type Field, type Message, type MessageName, type Payload, type Plan, planOf } from "./proto.ts";
import { bytesOfText } from "./text.ts";

/** An encoded message: pieces in order, those of large tensors still where they are. */
export interface Encoded {
  readonly byteLength: number;
  readonly pieces: readonly Payload[];
}

/** Bytes from which on a piece is taken as it is and not copied. */
const BY_REFERENCE = 4096;

/** What is written, from the end to the front, so that each length is known when it is its turn. */
interface Out {
  readonly pieces: Payload[];
  buffer: Uint8Array;
  /** Where the written part of `buffer` starts. */
  at: number;
  size: number;
  /** Bytes of the next buffer. */
  next: number;
}

/** Encodes a message in the order of field numbers. Data that is not in memory is not read. */
export function encode<N extends MessageName>(name: N, message: Message<N>): Encoded {
  const o: Out = { pieces: [], buffer: new Uint8Array(1024), at: 1024, size: 0, next: 2048 };
  encodeMessage(o, planOf(name), message as Readonly<Record<string, unknown>>);
  flush(o, 0);
  return { byteLength: o.size, pieces: o.pieces.reverse() };
}

function encodeMessage(o: Out, plan: Plan, m: Readonly<Record<string, unknown>>): void {
  if (m["unknown"]) put(o, m["unknown"] as Uint8Array);
  for (let number = plan.fields.length - 1; number > 0; number--) {
    const field = plan.fields[number];
    const value = field && m[field.name];
    if (value === undefined) continue;
    if (value instanceof Float32Array || !Array.isArray(value)) encodeField(o, field!, value);
    else for (let i = value.length - 1; i >= 0; i--) encodeField(o, field!, value[i]);
  }
}

function encodeField(o: Out, field: Field, value: unknown): void {
  const { type, number } = field;
  const before = o.size;
  switch (type) {
    case "int32":
    case "int64":
      integer(o, value as Int);
      integer(o, number * 8);
      return;
    case "float": {
      const flat = asBytes(value instanceof Float32Array ? value : Float32Array.of(value as number));
      for (let i = flat.length - 4; i >= 0; i -= 4) {
        put(o, flat.subarray(i, i + 4));
        integer(o, number * 8 + 5);
      }
      return;
    }
    case "message":
      encodeMessage(o, field.plan!, value as Readonly<Record<string, unknown>>);
      break;
    case "string":
      if (!ascii(o, value as string)) put(o, bytesOfText(value as string));
      break;
    case "bytes":
    case "raw":
      put(o, value as Payload);
      break;
    case "floats":
    case "doubles":
    case "varints":
      if ((value as Payload).byteLength === 0) return;
      put(o, value as Payload);
      break;
    default:
      (type) satisfies never;
  }
  integer(o, o.size - before);
  integer(o, number * 8 + 2);
}

const asBytes = (view: Float32Array) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

function put(o: Out, payload: Payload): void {
  if (isMemory(payload) && payload.length < BY_REFERENCE) {
    room(o, payload.length);
    o.at -= payload.length;
    o.buffer.set(payload, o.at);
  } else {
    flush(o, 0);
    o.pieces.push(payload);
  }
  o.size += payload.byteLength;
}

/** Writes short plain text without an encoder. */
function ascii(o: Out, text: string): boolean {
  if (text.length > 64) return false;
  room(o, text.length);
  const at = o.at - text.length;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 127) return false;
    o.buffer[at + i] = code;
  }
  o.at = at;
  o.size += text.length;
  return true;
}

function integer(o: Out, value: Int): void {
  if (value >= 0 && value < 128) {
    room(o, 1);
    o.buffer[--o.at] = Number(value);
    o.size++;
    return;
  }
  const small = typeof value === "number" && value >= 0;
  const bytes = small ? varintOf(value) : bigVarint(BigInt.asUintN(64, BigInt(value)));
  room(o, bytes);
  o.at -= bytes;
  o.buffer.set(scratch.subarray(0, bytes), o.at);
  o.size += bytes;
}

const scratch = new Uint8Array(10);

function varintOf(value: number): number {
  let rest = value;
  let i = 0;
  for (; rest > 127; rest = Math.floor(rest / 128)) scratch[i++] = (rest % 128) | 128;
  scratch[i++] = rest;
  return i;
}

function bigVarint(value: bigint): number {
  let rest = value;
  let i = 0;
  for (; rest > 127n; rest >>= 7n) scratch[i++] = Number(rest & 127n) | 128;
  scratch[i++] = Number(rest);
  return i;
}

function room(o: Out, bytes: number): void {
  if (o.at < bytes) flush(o, bytes);
}

/** Puts what was written aside and starts another buffer, twice as large up to 1 MiB. */
function flush(o: Out, bytes: number): void {
  if (o.at < o.buffer.length) o.pieces.push(o.buffer.subarray(o.at));
  if (bytes > o.at) {
    o.buffer = new Uint8Array(Math.max(bytes, o.next));
    o.next = Math.min(2 * o.next, 1 << 20);
  } else o.buffer = o.buffer.subarray(0, o.at);
  o.at = o.buffer.length;
}
