import { type ByteSource, checkRange, type FileSink, memorySource } from "@pare/core";

/** Files in memory that remember what became of them. */
export interface MemoryFiles {
  readonly sink: FileSink;
  /** What is visible: empty before `commit` and after `abort`. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly state: { committed: boolean; aborted: boolean; open: number; written: number };
}

/** A sink into memory; without `keep` it counts bytes only. */
export function memoryFiles({ keep = true }: { keep?: boolean } = {}): MemoryFiles {
  const pending = new Map<string, Uint8Array[]>();
  const files = new Map<string, Uint8Array>();
  const state = { committed: false, aborted: false, open: 0, written: 0 };
  const sink: FileSink = {
    async create(name) {
      const parts: Uint8Array[] = [];
      pending.set(name, parts);
      state.open++;
      return {
        async write(bytes) {
          state.written += bytes.byteLength;
          // A copy: the caller may use its bytes again.
          if (keep) parts.push(new Uint8Array(bytes));
        },
        async close() {
          state.open--;
        },
      };
    },
    async commit() {
      for (const [name, parts] of pending) {
        const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
        let at = 0;
        for (const part of parts) {
          all.set(part, at);
          at += part.length;
        }
        files.set(name, all);
      }
      state.committed = true;
    },
    async abort() {
      if (!state.committed) pending.clear();
      state.aborted = true;
    },
  };
  return { sink, files, state };
}

/** A file of a memory artifact as a source that refuses ranges outside, and reads after `close`. */
export function closableSource(bytes: Uint8Array, name: string): ByteSource {
  const inner = memorySource(bytes, name);
  let closed = false;
  return {
    name,
    byteLength: bytes.byteLength,
    async read(range, signal) {
      if (closed) throw new Error(`${name} is closed`);
      checkRange(range, bytes.byteLength, name);
      // A copy, so that writing to it does no harm to the next test.
      return new Uint8Array(await inner.read(range, signal));
    },
    async close() {
      closed = true;
    },
  };
}
