/** The build for browsers: Blobs, bytes and HTTP ranges. What needs a file system throws `io/no-files`. */
import { type ByteSource, type FileSink, failure, type PareError, type Store } from "@pare/core";
import { httpSiblings } from "./http.ts";
import { openAny, type SourceLike, urlOf } from "./source.ts";

export { checkFileName } from "./file-name.ts";
export { readIdx } from "./idx.ts";
export { type MemorySink, memorySink, memoryStore } from "./memory.ts";
export { readNpy } from "./npy.ts";
export { readNpz } from "./npz.ts";
export { type Piece, pump } from "./pump.ts";
export type { SourceLike } from "./source.ts";

const noFiles = (what: string, hint: string): PareError =>
  failure("io/no-files", `${what}, but there is no file system here`, { hint });

/** As in Node, but for paths: they give `io/no-files`. */
export const openSource = (from: SourceLike, options: { readonly signal?: AbortSignal } = {}): Promise<ByteSource> =>
  openAny(
    from,
    async (path) => {
      throw noFiles(`${path} is a path`, "Pass a Blob (a File is one), bytes, or an http(s) URL.");
    },
    options.signal,
  );

/** As in Node, for http(s) URLs. */
export function siblingOpener(path: string | URL): (name: string) => Promise<ByteSource> {
  const url = urlOf(path);
  if (url && /^https?:$/.test(url.protocol)) return httpSiblings(url);
  throw noFiles(`files beside ${path} were asked for`, "Pass an http(s) URL, or open the files from Blobs.");
}

export interface FolderSinkOptions {
  readonly durable?: boolean;
}

/** Node only. */
export function folderSink(dir: string | URL, _options?: FolderSinkOptions): FileSink {
  throw noFiles(`${dir} is a folder`, "Write to memorySink().");
}

/** Node only. */
export async function writeFileAtomic(path: string | URL, _contents: Uint8Array | string): Promise<void> {
  throw noFiles(`${path} is a path`, "Write to memorySink().");
}

/** A folder for this process alone. */
export interface TemporaryFolder {
  readonly path: string;
  remove(): Promise<void>;
}

/** Node only. */
export async function temporaryFolder(): Promise<TemporaryFolder> {
  throw noFiles("a temporary folder was asked for", "Write to memorySink().");
}

/** Node only. */
export function folderStore(dir: string | URL): Store {
  throw noFiles(`${dir} is a folder`, "Use memoryStore().");
}
