import type { ByteSource } from "./bytes.ts";

/** A store of results by content key, for methods that cannot be recomputed piece by piece. It makes them resumable. */
export interface Store {
  /** What was put under `key`, or undefined. */
  get(key: string, signal?: AbortSignal): Promise<ByteSource | undefined>;
  /** Keeps the bytes under `key`, whole or not at all. */
  put(key: string, bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, signal?: AbortSignal): Promise<void>;
}
