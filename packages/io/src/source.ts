import { type ByteSource, checkRange, failure, memorySource } from "@pare/core";
import { httpSource } from "./http.ts";

/** What {@link openSource} opens: a path or URL, a Blob, bytes, or a source that is open already. */
export type SourceLike = string | URL | Blob | Uint8Array | ByteSource;

/** A Blob or File as a source; its parts are read when asked for. */
export function blobSource(blob: Blob): ByteSource {
  const name = "name" in blob && typeof blob.name === "string" && blob.name ? blob.name : "blob";
  let closed = false;
  return {
    name,
    byteLength: blob.size,
    async read(range, signal) {
      signal?.throwIfAborted();
      if (closed) throw closedFailure(name);
      checkRange(range, blob.size, name);
      const bytes = new Uint8Array(await blob.slice(range.offset, range.offset + range.length).arrayBuffer());
      signal?.throwIfAborted();
      return bytes;
    },
    async close() {
      closed = true;
    },
  };
}

export const closedFailure = (name: string) =>
  failure("io/closed", "the source was closed before this read", { location: { file: name } });

/** Opens everything but paths and `file:` URLs, which `openPath` opens. */
export async function openAny(
  from: SourceLike,
  openPath: (path: string | URL) => Promise<ByteSource>,
  signal?: AbortSignal,
): Promise<ByteSource> {
  signal?.throwIfAborted();
  if (typeof from !== "string" && !(from instanceof URL)) {
    if (from instanceof Uint8Array) return memorySource(from);
    return from instanceof Blob ? blobSource(from) : from;
  }
  const url = urlOf(from);
  if (url === undefined) return openPath(from);
  if (url.protocol === "file:") return openPath(url);
  if (url.protocol === "http:" || url.protocol === "https:") return httpSource(url, signal);
  throw failure("io/scheme", `${url.protocol} URLs cannot be opened`, {
    hint: "Give a path, an http(s) URL or a Blob.",
  });
}

/** The URL that `from` is, if it is one: a one-letter scheme is a drive letter. */
export const urlOf = (from: string | URL): URL | undefined =>
  typeof from !== "string" ? from : /^(https?|file|blob|data):/i.test(from) ? new URL(from) : undefined;
