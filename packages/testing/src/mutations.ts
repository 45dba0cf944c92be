/** Whole numbers from 0 below a bound; the same seed gives the same ones everywhere. */
export type Draw = (below: number) => number;

/** Mulberry32. */
export function drawFrom(seed: number): Draw {
  let a = Math.trunc(seed) | 0;
  return (below) => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** Makes another file of a file's bytes, of which there are at least 10. */
export type Mutation = (bytes: Uint8Array, draw: Draw) => Uint8Array;

const joined = (...parts: readonly Uint8Array[]): Uint8Array => {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  parts.reduce((at, p) => (out.set(p, at), at + p.length), 0);
  return out;
};

/** What becomes of files on the way, and what someone who means harm does to them. */
export const byteMutations: Readonly<Record<string, Mutation>> = {
  flip(bytes, draw) {
    const out = new Uint8Array(bytes);
    for (let i = 0; i <= draw(4); i++) out[draw(out.length)]! ^= 1 << draw(8);
    return out;
  },
  byte(bytes, draw) {
    const out = new Uint8Array(bytes);
    out[draw(out.length)] = [0, 1, 127, 128, 255][draw(5)]!;
    return out;
  },
  cut: (bytes, draw) => new Uint8Array(bytes.subarray(0, draw(bytes.length))),
  remove(bytes, draw) {
    const at = draw(bytes.length);
    return joined(bytes.subarray(0, at), bytes.subarray(at + 1 + draw(8)));
  },
  repeat(bytes, draw) {
    const at = draw(bytes.length);
    return joined(bytes.subarray(0, at + draw(40)), bytes.subarray(at));
  },
  huge(bytes, draw) {
    const out = new Uint8Array(bytes);
    out.set([255, 255, 255, 255, 255, 255, 255, 255, 127].slice(0, 1 + draw(9)), draw(out.length - 9));
    return out;
  },
};

/** Numbers at which sizes, indices and types go wrong. */
const edges = [
  0,
  1,
  -1,
  2,
  3,
  7,
  16,
  255,
  65536,
  2 ** 31 - 1,
  -(2 ** 31),
  2 ** 32,
  2 ** 53,
  2n ** 63n - 1n,
  -(2n ** 63n),
];
const names = ["", "__proto__", "constructor", "x", "../x", "\u0000", "a".repeat(300)];

/** A place in a message where something can be changed. */
interface Place {
  readonly holder: Record<string, unknown> | unknown[];
  readonly key: string | number;
  /** The field that it is of, for a list's items the list's. */
  readonly field: string;
}

/**
 * Changes one to three places of a decoded message, a tree of plain objects, lists, numbers, strings and bytes: numbers
 * become others at the edge of what they may be, strings those of another place of the same field (a value's name
 * another's, an operator another), items and fields go, come twice, or come from elsewhere. Changes `message` itself.
 */
export function mutateMessage(message: object, draw: Draw): void {
  for (let n = 1 + draw(3); n > 0; n--) {
    const places = placesIn(message);
    if (places.length === 0) return;
    const place = places[draw(places.length)]!;
    const alike = places.filter((p) => p.field === place.field && typeof valueAt(p) === typeof valueAt(place));
    change(place, alike[draw(alike.length)]!, draw);
  }
}

/** Lists and plain objects are copied; what else there is, nobody changes. */
function copyOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copyOf);
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, copyOf(v)]));
}

const valueAt = ({ holder, key }: Place): unknown => (holder as Record<string | number, unknown>)[key];
const put = ({ holder, key }: Place, value: unknown) => {
  (holder as Record<string | number, unknown>)[key] = value;
};

function change(place: Place, other: Place, draw: Draw): void {
  const value = valueAt(place);
  const { holder, key } = place;
  const kind = draw(8);
  if (kind === 0) {
    if (Array.isArray(holder)) holder.splice(key as number, 1);
    else delete holder[key];
  } else if (kind === 1 && Array.isArray(holder)) holder.splice(draw(holder.length + 1), 0, copyOf(value));
  else if (kind <= 4) put(place, copyOf(valueAt(other)));
  else if (typeof value === "number" || typeof value === "bigint")
    put(place, draw(2) ? edges[draw(edges.length)]! : Number(value) + draw(5) - 2);
  else if (typeof value === "string") put(place, names[draw(names.length)]!);
  else if (value instanceof Uint8Array)
    put(place, draw(2) ? value.slice(0, draw(value.length + 1)) : joined(value, value.subarray(0, draw(9))));
  else if (Array.isArray(value)) put(place, draw(2) ? value.toReversed() : []);
  else put(place, {});
}

/** Most places that are looked for: those of a large model are drawn from its beginning. */
const MOST_PLACES = 20_000;

function placesIn(message: object): Place[] {
  const places: Place[] = [];
  const open: { readonly value: object; readonly field: string }[] = [{ value: message, field: "" }];
  // Breadth first; the list grows while it is gone through.
  for (const { value, field } of open) {
    if (places.length >= MOST_PLACES) break;
    if (ArrayBuffer.isView(value)) continue;
    const isList = Array.isArray(value);
    for (const key of Object.keys(value)) {
      const place = { holder: value as Place["holder"], key: isList ? Number(key) : key, field: isList ? field : key };
      places.push(place);
      const inner = valueAt(place);
      if (typeof inner === "object" && inner !== null) open.push({ value: inner, field: place.field });
    }
  }
  return places;
}
