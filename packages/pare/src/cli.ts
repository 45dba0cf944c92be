#!/usr/bin/env node
import { exitCodes } from "./io.ts";
import { main } from "./main.ts";

/** After an interrupt what is under way has this long to leave in order. */
const GRACE_MS = 700;

const stop = new AbortController();
let interrupts = 0;
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.on(name, () => {
    if (interrupts++ > 0) process.exit(exitCodes.interrupted);
    stop.abort(new Error("interrupted"));
    setTimeout(() => process.exit(exitCodes.interrupted), GRACE_MS).unref();
  });

// Whoever reads our output may leave early, as `head` does: nobody is there to tell, so end quietly.
for (const stream of [process.stdout, process.stderr])
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(exitCodes.ok);
  });

process.exitCode = await main(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  signal: stop.signal,
  cwd: process.cwd(),
});
