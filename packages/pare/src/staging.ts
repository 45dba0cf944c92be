import { rmSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
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

/** Prepares to write `output`. What stands there stays until `place`. */
export async function stage(output: string): Promise<Staging> {
  const target = resolve(output);
  await mkdir(dirname(target), { recursive: true });
  const folder = await mkdtemp(join(dirname(target), ".pare-"));
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
