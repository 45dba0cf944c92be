import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { FuzzJob, FuzzReply } from "../cases/fuzz-child.ts";

/** A reader that says nothing for this long hangs. */
export const HANG_MS = 5000;
/** Most memory that the process of the readers may take: mutants of files of a few megabytes. */
export const MOST_MEMORY = 512e6;

export type Ending = FuzzReply | { readonly outcome: "hang" | "crash" | "memory"; readonly error?: string };

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
        const timer = setTimeout(() => finish({ outcome: "hang" }), patience);
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
