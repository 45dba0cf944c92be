import { type BigIntStats, constants } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { type ByteSource, checkRange, failure, isPareError, type PareError } from "@pare/core";
import { closedFailure } from "./source.ts";

// Windows has neither.
const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants;

export const pathOf = (path: string | URL): string => (typeof path === "string" ? path : fileURLToPath(path));

const codes = new Map([
  ["ENOENT", "io/not-found"],
  ["ENOTDIR", "io/not-found"],
  ["EACCES", "io/denied"],
  ["EPERM", "io/denied"],
  ["EROFS", "io/denied"],
  ["ENOSPC", "io/full"],
  ["EDQUOT", "io/full"],
  ["EMFILE", "io/too-many-open"],
  ["ENFILE", "io/too-many-open"],
]);

/** An error of the file system as a PareError that names the file; others, such as the reason of an abort, as they are. */
export function fileFailure(cause: unknown, path: string): unknown {
  const { code, syscall } = (cause ?? {}) as NodeJS.ErrnoException;
  if (isPareError(cause) || code === undefined || syscall === undefined) return cause;
  const message = (cause as Error).message.replace(/, \w+ '.*$/s, "");
  return failure(codes.get(code) ?? "io/failed", message, { location: { file: path }, cause });
}

export interface FileOptions {
  /** Refuses a symlink in the last place, and a file that has other names. */
  readonly strict?: boolean;
  readonly name?: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A regular file, read by position. It stays open until `close`. Every read checks that size and modification time
 * are those at opening; the open file itself cannot become another.
 * @throws PareError `io/not-found`, `io/not-a-file`, `io/changed`, …
 */
export async function fileSource(path: string, options: FileOptions = {}): Promise<ByteSource> {
  const name = options.name ?? path;
  let handle: FileHandle | undefined;
  let opened: BigIntStats;
  options.signal?.throwIfAborted();
  try {
    // Before opening: to open a device can have effects. Not to wait for a FIFO's writer takes O_NONBLOCK.
    if (!(await stat(path)).isFile()) throw notAFile(name);
    handle = await open(path, O_RDONLY | O_NONBLOCK | (options.strict ? O_NOFOLLOW : 0));
    opened = await handle.stat({ bigint: true });
    if (!opened.isFile()) throw notAFile(name);
    if (options.strict && opened.nlink > 1n) throw hardLink(name);
    options.signal?.throwIfAborted();
  } catch (error) {
    await handle?.close();
    throw fileFailure(error, name);
  }
  const file = handle;
  const byteLength = Number(opened.size);
  let closing: Promise<void> | undefined;
  return {
    name,
    byteLength,
    async read({ offset, length }, signal) {
      signal?.throwIfAborted();
      if (closing) throw closedFailure(name);
      checkRange({ offset, length }, byteLength, name);
      const bytes = new Uint8Array(length);
      try {
        let at = 0;
        while (at < length) {
          // One call reads at most 2^31 - 1 bytes, and an abort is noticed between calls.
          const { bytesRead } = await file.read(bytes, at, Math.min(length - at, 1 << 28), offset + at);
          signal?.throwIfAborted();
          if (bytesRead === 0) throw changed(name);
          at += bytesRead;
        }
        const now = await file.stat({ bigint: true });
        if (now.size !== opened.size || now.mtimeNs !== opened.mtimeNs || now.ino !== opened.ino) throw changed(name);
      } catch (error) {
        if (closing) throw closedFailure(name);
        throw fileFailure(error, name);
      }
      return bytes;
    },
    close: () => (closing ??= file.close()),
  };
}

const changed = (file: string): PareError =>
  failure("io/changed", "the file changed since it was opened", { location: { file }, hint: "Open it again." });
const notAFile = (file: string): PareError =>
  failure("io/not-a-file", "it is a folder, device or pipe, not a file", { location: { file } });
const hardLink = (file: string): PareError =>
  failure("io/hard-link", "the file has other names (hard links), so it may be a file from elsewhere", {
    location: { file },
    hint: "Copy it: cp FILE COPY && mv COPY FILE.",
  });
