import { lstat, mkdir, rename, rm, rmdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { type FileSink, failure } from "@pare/core";
import { fileFailure, pathOf } from "./file.ts";
import { checkFileName } from "./file-name.ts";
import { closedFile, duplicateFile, openFile } from "./memory.ts";
import { containedPath } from "./sibling.ts";
import { createTemporary, sweep, syncFolder, temporaryName, writeAt } from "./temporary.ts";

export interface FolderSinkOptions {
  /** Whether the bytes must be on the disk before they appear (fsync). Not so for what need not outlive the machine. */
  readonly durable?: boolean;
}

interface Draft {
  readonly name: string;
  readonly target: string;
  readonly temporary: string;
  close(): Promise<void>;
  closed: boolean;
}

/**
 * Writes the files of an artifact into `dir` (made when it is missing): each under a temporary name in the folder where
 * it will stand, until `commit`.
 *
 * `commit`, for one file, renames it over the old one: whoever looks sees the old or the new. For several, first the old
 * ones are moved away, then the new ones are put in place, the one created first (the model) last, so that a model is
 * never seen with another's data; whoever is killed in between leaves some or all missing, not mixed. When a step fails
 * the old files are put back. A symlink at a target is replaced, not followed. Temporary files of processes that were
 * killed are removed by the next sink in the same folder.
 * @throws PareError `io/file-name`, `io/symlink`, `io/denied`, `io/full`, …
 */
export function folderSink(dir: string | URL, { durable = true }: FolderSinkOptions = {}): FileSink {
  const folder = resolve(pathOf(dir));
  const drafts = new Map<string, Draft>();
  const made: string[] = [];
  let swept: Promise<void> | undefined;

  const makeFolder = async (path: string) => {
    const first = await mkdir(path, { recursive: true });
    if (first === undefined) return;
    for (let p = path; p.length >= first.length; p = dirname(p)) made.push(p);
  };
  const abort = async () => {
    for (const draft of drafts.values()) {
      await draft.close().catch(() => {});
      await rm(draft.temporary, { force: true });
    }
    drafts.clear();
    made.sort((a, b) => b.length - a.length);
    for (const path of made.splice(0)) await rmdir(path).catch(() => {});
  };

  return {
    async create(given) {
      const name = checkFileName(given);
      if (drafts.has(name)) throw duplicateFile(name);
      const target = join(folder, name);
      try {
        await makeFolder(folder);
        await (swept ??= sweep(folder));
        await containedPath(folder, name, true);
        await makeFolder(dirname(target));
        const { path: temporary, handle } = await createTemporary(dirname(target));
        let position = 0;
        let closing: Promise<void> | undefined;
        const draft: Draft = { name, target, temporary, closed: false, close: () => (closing ??= handle.close()) };
        drafts.set(name, draft);
        return {
          async write(bytes) {
            if (closing) throw closedFile(name);
            const at = position;
            position += bytes.byteLength;
            await writeAt(handle, bytes, at).catch((error) => {
              throw fileFailure(error, target);
            });
          },
          async close() {
            if (closing) return closing;
            if (durable)
              await handle.sync().catch((error) => {
                throw fileFailure(error, target);
              });
            await draft.close();
            draft.closed = true;
          },
        };
      } catch (error) {
        throw fileFailure(error, target);
      }
    },
    async commit() {
      for (const draft of drafts.values()) if (!draft.closed) throw openFile(draft.name);
      for (const { name } of drafts.values()) await containedPath(folder, name, true);
      await place([...drafts.values()], durable);
      drafts.clear();
      made.length = 0;
    },
    abort,
  };
}

/** Writes one file whole or not at all; the old one stays until then. Strings become UTF-8. */
export async function writeFileAtomic(path: string | URL, contents: Uint8Array | string): Promise<void> {
  const target = resolve(pathOf(path));
  const sink = folderSink(dirname(target));
  try {
    const writer = await sink.create(basename(target));
    await writer.write(typeof contents === "string" ? new TextEncoder().encode(contents) : contents);
    await writer.close();
    await sink.commit();
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

async function place(drafts: readonly Draft[], durable: boolean): Promise<void> {
  const undo: (() => Promise<void>)[] = [];
  const old: string[] = [];
  try {
    for (const { target } of drafts) {
      const found = await lstat(target).catch(() => undefined);
      if (found?.isDirectory())
        throw failure("io/not-a-file", "a folder stands where the file belongs", { location: { file: target } });
      if (!found || drafts.length === 1) continue;
      const aside = join(dirname(target), temporaryName());
      await rename(target, aside);
      undo.push(() => rename(aside, target));
      old.push(aside);
    }
    for (const { temporary, target } of [...drafts.slice(1), ...drafts.slice(0, 1)])
      try {
        await rename(temporary, target);
        undo.push(() => rename(target, temporary));
      } catch (error) {
        throw fileFailure(error, target);
      }
  } catch (error) {
    for (const step of undo.reverse()) await step().catch(() => {});
    throw error;
  }
  for (const path of old) await rm(path, { force: true });
  if (durable) for (const path of new Set(drafts.map((d) => dirname(d.target)))) await syncFolder(path);
}
