import { type FileSink, failure, memorySource, type Store } from "@pare/core";
import { checkFileName } from "./file-name.ts";

/** A sink that keeps the files in memory. `files` is empty until `commit`. */
export interface MemorySink extends FileSink {
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Takes files into memory, by name. For artifacts that are known to fit. */
export function memorySink(): MemorySink {
  const drafts = new Map<string, { parts: Uint8Array[]; closed: boolean }>();
  const files = new Map<string, Uint8Array>();
  return {
    files,
    async create(given) {
      const name = checkFileName(given);
      if (drafts.has(name)) throw duplicateFile(name);
      const draft = { parts: [] as Uint8Array[], closed: false };
      drafts.set(name, draft);
      return {
        async write(bytes) {
          if (draft.closed) throw closedFile(name);
          draft.parts.push(bytes.slice());
        },
        async close() {
          draft.closed = true;
        },
      };
    },
    async commit() {
      for (const [name, draft] of drafts) if (!draft.closed) throw openFile(name);
      for (const [name, { parts }] of drafts) files.set(name, concat(parts));
      drafts.clear();
    },
    async abort() {
      drafts.clear();
    },
  };
}

export const duplicateFile = (name: string) =>
  failure("io/duplicate-file", "the file was created twice in one artifact", { location: { file: name } });
export const closedFile = (name: string) =>
  failure("io/closed", "the file was closed before this write", { location: { file: name } });
export const openFile = (name: string) =>
  failure("io/open-file", "the file is still being written at commit", { location: { file: name } });

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((n, p) => n + p.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}

/** A store in memory; it is gone with the process. */
export function memoryStore(): Store {
  const kept = new Map<string, Uint8Array>();
  return {
    async get(key, signal) {
      signal?.throwIfAborted();
      const bytes = kept.get(key);
      return bytes && memorySource(bytes, key);
    },
    async put(key, bytes, signal) {
      const parts: Uint8Array[] = [];
      for await (const part of bytes) {
        signal?.throwIfAborted();
        parts.push(part.slice());
      }
      signal?.throwIfAborted();
      kept.set(key, concat(parts));
    },
  };
}
