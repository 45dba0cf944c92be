import { rmSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join, resolve } from "node:path";

/** A folder beside the place of a result, in which it is written and tried before anyone sees it. */
export interface Staging {
  /** Where to write the model; its data files may stand beside it. */
  readonly path: string;
  /** Moves files by name to their place, the first (the model) last. */
  place(names: readonly string[]): Promise<void>;
  /** Removes what is left. Safe to call twice. */
  remove(): Promise<void>;
}

const prefix = `.pare-${hostname().replace(/[^A-Za-z0-9]/g, "_")}-`;

/** Removes the folders of processes of this machine that were killed. */
async function sweep(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const pid = name.startsWith(prefix) ? Number.parseInt(name.slice(prefix.length), 10) : Number.NaN;
    if (pid > 0 && !alive(pid)) await rm(join(folder, name), { recursive: true, force: true });
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

/** Prepares to write `output`. What stands there stays until `place`. What a killed process left there goes. */
export async function stage(output: string): Promise<Staging> {
  const target = resolve(output);
  await mkdir(dirname(target), { recursive: true });
  await sweep(dirname(target));
  const folder = await mkdtemp(join(dirname(target), `${prefix}${process.pid}-`));
  const onExit = () => rmSync(folder, { recursive: true, force: true });
  process.once("exit", onExit);
  return {
    path: join(folder, basename(target)),
    async place(names) {
      for (const name of [...names.slice(1), ...names.slice(0, 1)])
        await rename(join(folder, name), join(dirname(target), name));
    },
    async remove() {
      await rm(folder, { recursive: true, force: true });
      process.off("exit", onExit);
    },
  };
}
