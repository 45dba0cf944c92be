/** The build for Node: files besides what the build for browsers has. The names are the same. */
import type { ByteSource } from "@pare/core";
import { fileSource, pathOf } from "./file.ts";
import { openAny, type SourceLike } from "./source.ts";

export { checkFileName } from "./file-name.ts";
export { type FolderSinkOptions, folderSink, writeFileAtomic } from "./folder-sink.ts";
export { folderStore } from "./folder-store.ts";
export { readIdx } from "./idx.ts";
export { type MemorySink, memorySink, memoryStore } from "./memory.ts";
export { readNpy } from "./npy.ts";
export { readNpz } from "./npz.ts";
export { type Piece, pump } from "./pump.ts";
export { siblingOpener } from "./sibling.ts";
export type { SourceLike } from "./source.ts";
export { type TemporaryFolder, temporaryFolder } from "./temporary-folder.ts";

/**
 * Opens bytes for reading in parts: a file by path or `file:` URL, a Blob, bytes, an http(s) URL (by Range requests), or
 * a source as it is. A file that changes while it is open gives `io/changed` on the next read.
 * @throws PareError `io/not-found`, `io/not-a-file`, `io/denied`, `io/http`, `io/no-ranges`, `io/scheme`
 * @example const source = await openSource("classifier.onnx")
 */
export const openSource = (from: SourceLike, options: { readonly signal?: AbortSignal } = {}): Promise<ByteSource> =>
  openAny(from, (path) => fileSource(pathOf(path), { signal: options.signal }), options.signal);
