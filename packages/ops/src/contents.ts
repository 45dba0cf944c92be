import { chunksOf, type Tensor } from "@pare/core";
import { Fingerprint } from "./numeric/fingerprint.ts";

/** What is stored, whatever it stands for. */
type Stored = Pick<Tensor, "byteLength" | "bytes" | "key" | "read">;

/** Bytes by which contents of one length are told apart before they are read whole. */
const PREFIX = 1 << 12;

/** Names of contents that were read whole once; they do not change. */
const known = new WeakMap<Stored, string>();

/**
 * Groups of items whose contents are equal byte by byte, in the order of the first of each. Contents are read only where
 * others have their length, and whole only where those begin alike.
 */
export async function equalContents<T>(
  items: readonly T[],
  contentOf: (item: T) => Stored,
  signal?: AbortSignal,
): Promise<T[][]> {
  const idOf = (t: Stored) => t.key ?? t;
  const firsts = groupBy(items.map(contentOf), idOf).map(([first]) => first!);
  const same = new Map(firsts.map((t) => [idOf(t), t]));
  for (const sized of groupBy(firsts, (t) => t.byteLength))
    for (const begun of await split(sized, (t) => beginning(t, signal)))
      for (const alike of await split(begun, (t) => whole(t, signal)))
        for (const [t, first] of await matches(alike, signal)) same.set(idOf(t), first);
  return groupBy(items, (item) => same.get(idOf(contentOf(item))));
}

/** Items of equal keys, in the order of the first of each. */
export function groupBy<T>(items: Iterable<T>, keyOf: (item: T) => unknown): T[][] {
  const groups = new Map<unknown, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return [...groups.values()];
}

/** Groups by a name that is asked for only where there is more than one. */
async function split(group: Stored[], nameOf: (t: Stored) => Promise<string>): Promise<Stored[][]> {
  if (group.length < 2) return [group];
  const names = new Map<Stored, string>();
  for (const t of group) names.set(t, await nameOf(t));
  return groupBy(group, (t) => names.get(t));
}

async function beginning(t: Stored, signal?: AbortSignal): Promise<string> {
  return new Fingerprint().add(await t.read({ offset: 0, length: Math.min(PREFIX, t.byteLength) }, signal)).toString();
}

async function whole(t: Stored, signal?: AbortSignal): Promise<string> {
  const before = known.get(t);
  if (before !== undefined) return before;
  const print = new Fingerprint();
  for await (const chunk of chunksOf(t, signal)) print.add(chunk);
  known.set(t, print.toString());
  return print.toString();
}

/** Each of a group with the first that it equals. */
async function matches(group: readonly Stored[], signal?: AbortSignal): Promise<[Stored, Stored][]> {
  const firsts: Stored[] = [];
  const pairs: [Stored, Stored][] = [];
  for (const t of group) {
    let found: Stored | undefined;
    for (const other of firsts) if (await isEqual(t, other, signal)) found = other;
    if (found) pairs.push([t, found]);
    else firsts.push(t);
  }
  return pairs;
}

async function isEqual(a: Stored, b: Stored, signal?: AbortSignal): Promise<boolean> {
  const other = chunksOf(b, signal);
  for await (const x of chunksOf(a, signal)) {
    const { value: y } = await other.next();
    for (let i = 0; i < x.length; i++) if (x[i] !== y![i]) return false;
  }
  return true;
}
