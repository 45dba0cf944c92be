import type { ByteSource } from "@pare/core";
import { fail } from "./codes.ts";

/** Bytes of a page; what is longer is read for itself. */
const PAGE = 1 << 16;
/** Pages that are kept; then all are dropped. */
const KEPT = 128;

/** A file that is read here and there: the pages last seen stay in memory. */
export interface Paged {
  readonly source: ByteSource;
  /** Exactly these bytes; at once when they are in memory. Never write to them. */
  bytes(at: number, length: number, what: string): Uint8Array | Promise<Uint8Array>;
}

export function paged(source: ByteSource, signal?: AbortSignal): Paged {
  const pages = new Map<number, Uint8Array>();
  const load = async (at: number, length: number): Promise<Uint8Array> => {
    const index = Math.floor(at / PAGE);
    const start = index * PAGE;
    if (at + length > start + PAGE) return source.read({ offset: at, length }, signal);
    if (pages.size >= KEPT) pages.clear();
    const page = await source.read({ offset: start, length: Math.min(PAGE, source.byteLength - start) }, signal);
    pages.set(index, page);
    return page.subarray(at - start, at - start + length);
  };
  return {
    source,
    bytes(at, length, what) {
      if (at < 0 || length > source.byteLength - at)
        throw fail("tflite/truncated", `${what} takes ${length} bytes, which the file does not have there`, {
          location: { file: source.name, offset: at },
        });
      const page = pages.get(Math.floor(at / PAGE));
      const inside = at % PAGE;
      return page && inside + length <= page.length ? page.subarray(inside, inside + length) : load(at, length);
    },
  };
}
