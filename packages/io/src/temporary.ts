import { createHash, randomBytes } from "node:crypto";
import { type FileHandle, open, readdir, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";

/** This machine, in names of what may be left over on it. */
export const host = createHash("sha256").update(hostname()).digest("hex").slice(0, 8);
const pattern = /^\.pare-([0-9a-f]{8})-(\d+)-[0-9a-f]{16}\.tmp$/;

/** A name for a file that becomes another's by renaming. It says which process of which machine it belongs to. */
export const temporaryName = (): string => `.pare-${host}-${process.pid}-${randomBytes(8).toString("hex")}.tmp`;

/** Creates a temporary file in `folder`; never one that exists. */
export async function createTemporary(folder: string): Promise<{ path: string; handle: FileHandle }> {
  const path = join(folder, temporaryName());
  return { path, handle: await open(path, "wx") };
}

/** Removes from `folder` the temporary files of processes of this machine that are no more. */
export async function sweep(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const [, madeOn, pid] = pattern.exec(name) ?? [];
    if (madeOn === host && !alive(Number(pid))) await rm(join(folder, name), { force: true }).catch(() => {});
  }
}

export function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

/** Writes all of `bytes` at `position`. */
export async function writeAt(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.byteLength; ) {
    const length = Math.min(bytes.byteLength - at, 1 << 28);
    at += (await handle.write(bytes, at, length, position + at)).bytesWritten;
  }
}

/** Makes renames in `folder` last; where folders cannot be synced (Windows) it does nothing. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder).catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close();
}
