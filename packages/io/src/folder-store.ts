import { createHash } from "node:crypto";
import { mkdir, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { type ByteSource, checkRange, isPareError, type Store } from "@pare/core";
import { fileFailure, fileSource, pathOf } from "./file.ts";
import { createTemporary, sweep, writeAt } from "./temporary.ts";

const DIGEST = 32;
const STEP = 1 << 20;

/**
 * A store in a folder (made when first written to): for each content key a file named by the SHA-256 of the key, which
 * ends with the SHA-256 of its contents. `get` reads the file through and gives only what is whole: an entry that was
 * damaged is removed and counts as missing. Several processes may use the folder at once; who puts last wins.
 * @throws PareError `io/denied`, `io/full`, …
 */
export function folderStore(dir: string | URL): Store {
  const folder = resolve(pathOf(dir));
  const pathFor = (key: string) => {
    const hash = createHash("sha256").update(key).digest("hex");
    return join(folder, hash.slice(0, 2), hash.slice(2));
  };
  return {
    async get(key, signal) {
      const path = pathFor(key);
      const file = await fileSource(path, { signal }).catch((error) => {
        if (isPareError(error) && error.code === "io/not-found") return undefined;
        throw error;
      });
      if (!file) return undefined;
      try {
        if (await whole(file, signal)) return body(file, key);
      } catch (error) {
        await file.close();
        throw error;
      }
      await file.close();
      await rm(path, { force: true });
      return undefined;
    },
    async put(key, bytes, signal) {
      const path = pathFor(key);
      const shelf = dirname(path);
      let temporary: string | undefined;
      try {
        signal?.throwIfAborted();
        await mkdir(shelf, { recursive: true });
        await sweep(shelf);
        const { path: draft, handle } = await createTemporary(shelf);
        temporary = draft;
        try {
          const hash = createHash("sha256");
          let position = 0;
          for await (const part of bytes) {
            signal?.throwIfAborted();
            hash.update(part);
            await writeAt(handle, part, position);
            position += part.byteLength;
          }
          signal?.throwIfAborted();
          await writeAt(handle, hash.digest(), position);
          await handle.sync();
        } finally {
          await handle.close();
        }
        await rename(draft, path);
      } catch (error) {
        if (temporary !== undefined) await rm(temporary, { force: true });
        throw fileFailure(error, path);
      }
    },
  };
}

async function whole(file: ByteSource, signal?: AbortSignal): Promise<boolean> {
  const size = file.byteLength - DIGEST;
  if (size < 0) return false;
  const hash = createHash("sha256");
  for (let offset = 0; offset < size; offset += STEP)
    hash.update(await file.read({ offset, length: Math.min(STEP, size - offset) }, signal));
  return hash.digest().equals(await file.read({ offset: size, length: DIGEST }, signal));
}

function body(file: ByteSource, name: string): ByteSource {
  const byteLength = file.byteLength - DIGEST;
  return {
    name,
    byteLength,
    async read(range, signal) {
      checkRange(range, byteLength, name);
      return file.read(range, signal);
    },
    close: () => file.close(),
  };
}
