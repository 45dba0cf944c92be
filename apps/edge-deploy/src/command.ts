import { mkdirSync } from "node:fs";
import { parseArgs } from "node:util";
import { isPareError } from "@pare/core";

export interface SampleOptions {
  /** More input, or more work, than fits in a few minutes. */
  readonly full: boolean;
  /** The result as JSON on standard output. */
  readonly json: boolean;
  /** Folder of what is written. */
  readonly out: string;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

/** Says how far it is, for people. */
export const say = (text: string) => process.stderr.write(`${text}\n`);

/** Runs a sample app with the options that all of them have, and ends the process. */
export function sampleApp(usage: string, run: (options: SampleOptions) => Promise<void>): void {
  const main = async () => {
    const { values } = parseArgs({
      options: {
        full: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        out: { type: "string", default: "out" },
        help: { type: "boolean", default: false },
      },
    });
    if (values.help) {
      process.stdout.write(usage);
      return;
    }
    const abort = new AbortController();
    process.once("SIGINT", () => abort.abort(new Error("interrupted")));
    mkdirSync(values.out, { recursive: true });
    await run({ ...values, signal: abort.signal });
  };
  // All that was written is with its reader first.
  const end = (code: number) => process.stdout.write("", () => process.exit(code));
  main().then(
    () => end(0),
    (error: unknown) => {
      say(isPareError(error) ? error.message : String((error as Error)?.stack ?? error));
      end(1);
    },
  );
}
