/** Feeds mutants to readers in a process of its own: what hangs or takes too much memory is ended from outside. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { isPareError } from "@pare/core";
import { mutantOf } from "../fuzz/mutant.ts";
import { readers } from "../fuzz/readers.ts";

export interface FuzzJob {
  readonly id: number;
  readonly reader: number;
  /** Which mutant; or a file to try, when one is made smaller. */
  readonly seed?: number;
  readonly bytes?: Uint8Array;
}
export interface FuzzReply {
  readonly id: number;
  /** `written` results are in the folder, as `mutant` and `result`. */
  readonly outcome: "refused" | "read" | "written" | "crash";
  readonly source?: string;
  readonly how?: string;
  readonly test?: string | undefined;
  readonly code?: string;
  readonly error?: string;
  /** Most memory of the process so far, in bytes. */
  readonly memory: number;
}

const [data, folder] = process.argv.slice(2) as [string, string];
const all = readers(data);

async function answer({ id, reader: index, seed, bytes: given }: FuzzJob): Promise<FuzzReply> {
  const [reader] = all[index]!;
  const mutant = given ? undefined : await mutantOf(reader, seed!);
  const bytes = given ?? mutant!.bytes;
  const about = mutant ? { source: mutant.source.name, how: mutant.how, test: mutant.source.test } : {};
  const path = (name: string) => join(folder, `${name}.${reader.extension}`);
  writeFileSync(path("mutant"), bytes);
  const reply = (more: Pick<FuzzReply, "outcome" | "code" | "error">): FuzzReply => ({
    id,
    ...about,
    ...more,
    memory: process.resourceUsage().maxRSS * 1024,
  });
  try {
    const result = await reader.judge(bytes);
    if (!result) return reply({ outcome: "read" });
    writeFileSync(path("result"), result);
    return reply({ outcome: "written" });
  } catch (error) {
    if (isPareError(error)) return reply({ outcome: "refused", code: error.diagnostics[0]!.code });
    return reply({ outcome: "crash", error: String((error as Error)?.stack ?? error).slice(0, 2000) });
  }
}

process.on("message", async (job: FuzzJob) => process.send!(await answer(job)));
process.on("disconnect", () => process.exit(0));
