import { CHUNK_BYTES } from "@pare/core";
import type { Payload } from "./payload.ts";

/** Bytes by which data of one length is told apart before it is read whole. */
const PREFIX = 1 << 12;

/**
 * Numbers each content once, in the order of first use: equal data gets equal numbers. Data is read only where other data
 * has its length, and whole only where that begins alike.
 */
export async function numberContents(
  payloads: readonly Payload[],
  signal?: AbortSignal,
): Promise<{ readonly numbers: readonly number[]; readonly distinct: readonly Payload[] }> {
  const known = new Map<Payload | string, Payload>();
  const same = payloads.map((p) => {
    const id = p.key ?? p;
    const first = known.get(id) ?? p;
    known.set(id, first);
    return first;
  });
  const first = new Map<Payload, Payload>();
  for (const group of groupBy([...new Set(same)], (p) => String(p.byteLength)))
    for (const alike of await split(group, (p) => digest(p, PREFIX, signal)))
      for (const equal of await split(alike, (p) => digest(p, p.byteLength, signal)))
        for (const [p, to] of await matches(equal, signal)) first.set(p, to);
  const numbers = new Map<Payload, number>();
  const numbered = same.map((p) => {
    const to = first.get(p) ?? p;
    const number = numbers.get(to) ?? numbers.size;
    numbers.set(to, number);
    return number;
  });
  return { numbers: numbered, distinct: [...numbers.keys()] };
}

function groupBy<T>(items: readonly T[], key: (item: T) => string): T[][] {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group) group.push(item);
    else groups.set(key(item), [item]);
  }
  return [...groups.values()];
}

/** Groups by a key that is asked for only where there is more than one. */
async function split(group: readonly Payload[], key: (p: Payload) => Promise<string>): Promise<Payload[][]> {
  if (group.length < 2) return [[...group]];
  const keys = new Map<Payload, string>();
  for (const p of group) keys.set(p, await key(p));
  return groupBy(group, (p) => keys.get(p)!);
}

/** Two FNV-1a lanes over words: tells contents apart cheaply, and is never taken for proof. */
async function digest(p: Payload, length: number, signal?: AbortSignal): Promise<string> {
  let [a, b] = [0x811c9dc5, 0x9747b28c];
  for (let offset = 0; offset < Math.min(length, p.byteLength); offset += CHUNK_BYTES) {
    const bytes = await piece(p, offset, Math.min(CHUNK_BYTES, length - offset, p.byteLength - offset), signal);
    for (let i = 0; i < bytes.length; i++) {
      a = Math.imul(a ^ bytes[i]!, 0x01000193);
      b = Math.imul(b ^ bytes[i]!, 0x85ebca6b);
    }
  }
  return `${a} ${b}`;
}

const piece = (p: Payload, offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> | Uint8Array =>
  p.bytes ? p.bytes.subarray(offset, offset + length) : p.read({ offset, length }, signal);

/** Each of a group with the first that it equals byte by byte. */
async function matches(group: readonly Payload[], signal?: AbortSignal): Promise<[Payload, Payload][]> {
  const firsts: Payload[] = [];
  const pairs: [Payload, Payload][] = [];
  for (const p of group) {
    let found: Payload | undefined;
    for (const other of firsts) if (await equal(p, other, signal)) found = other;
    if (found) pairs.push([p, found]);
    else firsts.push(p);
  }
  return pairs;
}

async function equal(a: Payload, b: Payload, signal?: AbortSignal): Promise<boolean> {
  for (let offset = 0; offset < a.byteLength; offset += CHUNK_BYTES) {
    const length = Math.min(CHUNK_BYTES, a.byteLength - offset);
    const [x, y] = [await piece(a, offset, length, signal), await piece(b, offset, length, signal)];
    for (let i = 0; i < length; i++) if (x[i] !== y[i]) return false;
  }
  return true;
}
