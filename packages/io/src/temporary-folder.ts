import { rmSync } from "node:fs";
import { mkdtemp, readdir, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { alive, host } from "./temporary.ts";

/** A folder for this process alone. */
export interface TemporaryFolder {
  readonly path: string;
  /** Removes it with all that is in it. Safe to call twice. */
  remove(): Promise<void>;
}

const pattern = /^pare-([0-9a-f]{8})-(\d+)-/;
const mine = new Set<string>();
let swept: Promise<void> | undefined;

/**
 * Makes a folder that only this user can enter, under the system's folder for temporary files. It is gone after
 * `remove`, when the process exits, or, when it is killed, once another process asks for a folder.
 */
export async function temporaryFolder(): Promise<TemporaryFolder> {
  // The path must hold no symlink (/tmp is one on macOS): engines refuse data that they reach through one.
  const root = await realpath(tmpdir());
  await (swept ??= sweepFolders(root));
  const path = await mkdtemp(join(root, `pare-${host}-${process.pid}-`));
  if (mine.size === 0) process.on("exit", removeAll);
  mine.add(path);
  return {
    path,
    async remove() {
      await rm(path, { recursive: true, force: true, maxRetries: 3 });
      mine.delete(path);
      if (mine.size === 0) process.off("exit", removeAll);
    },
  };
}

function removeAll(): void {
  for (const path of mine)
    try {
      rmSync(path, { recursive: true, force: true });
    } catch {
      // The next process sweeps it.
    }
}

async function sweepFolders(root: string): Promise<void> {
  for (const name of await readdir(root).catch(() => [])) {
    const [, madeOn, pid] = pattern.exec(name) ?? [];
    if (madeOn === host && !alive(Number(pid)))
      await rm(join(root, name), { recursive: true, force: true }).catch(() => {});
  }
}
