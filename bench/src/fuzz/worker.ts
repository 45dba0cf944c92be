import { type ChildProcess, fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { FuzzJob, FuzzReply } from "../cases/fuzz-child.ts";

/** A reader that computes for this long without a word hangs. */
export const HANG_MS = 5000;
/** On a machine that is busy with other things it gets more time for that, up to this. */
const MOST_MS = 60_000;
/** Most memory that the process of the readers may take: mutants of files of a few megabytes. */
export const MOST_MEMORY = 512e6;

export type Ending = FuzzReply | { readonly outcome: "hang" | "crash" | "memory"; readonly error?: string };

/** Milliseconds that a process has computed, all threads together, as Linux counts them; elsewhere those that passed. */
function cpuMs(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return 10 * (Number(fields[11]) + Number(fields[12]));
  } catch {
    return performance.now();
  }
}

/** Readers in a child that is started again after each end. */
export function fuzzWorker(script: URL, data: string, folder: string, signal: AbortSignal) {
  let child: ChildProcess | undefined;
  let stderr = "";
  let id = 0;
  const start = () => {
    stderr = "";
    const made = fork(fileURLToPath(script), [data, folder], {
      serialization: "advanced",
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      signal,
    });
    made.stderr!.on("data", (chunk: Buffer) => {
      stderr = (stderr + chunk.toString()).slice(-2000);
    });
    // An abort; the caller's loop meets it too.
    made.on("error", () => {});
    return made;
  };
  const end = () => {
    child?.kill("SIGKILL");
    child = undefined;
  };
  return {
    end,
    async run(job: Omit<FuzzJob, "id">): Promise<Ending> {
      // The first has to load what mutants are made of, which is not the reader's doing.
      const patience = child ? HANG_MS : HANG_MS + 20_000;
      const current = (child ??= start());
      const mine = ++id;
      const ending = await new Promise<Ending>((resolve) => {
        const finish = (e: Ending) => {
          clearTimeout(timer);
          current.off("message", hear).off("exit", gone);
          resolve(e);
        };
        const gone = () => finish({ outcome: "crash", error: stderr });
        const hear = (reply: FuzzReply) => {
          if (reply.id === mine) finish(reply);
        };
        const [started, computed] = [performance.now(), cpuMs(current.pid!)];
        const look = () => {
          const used = cpuMs(current.pid!) - computed;
          if (used >= patience || performance.now() - started > MOST_MS) finish({ outcome: "hang" });
          else timer = setTimeout(look, patience - used);
        };
        let timer = setTimeout(look, patience);
        current.on("message", hear).once("exit", gone);
        current.send({ id: mine, ...job } satisfies FuzzJob);
      });
      if (ending.outcome === "hang" || !("memory" in ending)) end();
      else if (ending.memory > MOST_MEMORY) {
        end();
        return { ...ending, outcome: "memory" };
      }
      return ending;
    },
  };
}
