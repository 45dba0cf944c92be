import { type Diagnostic, formatLocation, isPareError } from "@pare/core";
import { oneLine } from "@pare/report";
import { exitCodes, type Io } from "../io.ts";

const codesOfExit: ReadonlyMap<string, number> = new Map([
  ["pare/usage", exitCodes.usage],
  ["core/options", exitCodes.usage],
  ["pare/coverage", exitCodes.coverage],
  ["pare/not-finite", exitCodes.verification],
  ["pare/far-off", exitCodes.verification],
  ["pare/output-shape", exitCodes.verification],
]);

/** Tells what went wrong, on stderr for people and with `json` on stdout for programs, and gives the exit code. */
export function reportError(
  error: unknown,
  io: Io,
  { json, debug }: { readonly json: boolean; readonly debug: boolean },
): number {
  const interrupted = io.signal.aborted;
  const diagnostics: readonly Diagnostic[] = interrupted
    ? [{ code: "pare/interrupted", severity: "error", message: "interrupted; nothing was written" }]
    : isPareError(error)
      ? error.diagnostics
      : [
          {
            code: "pare/unexpected",
            severity: "error",
            message: messageOf(error),
            ...(debug ? {} : { hint: "This should not happen. --debug shows where it did." }),
          },
        ];
  if (json) io.stdout.write(`${JSON.stringify({ error: { code: diagnostics[0]?.code, diagnostics } })}\n`);
  io.stderr.write(`${diagnostics.map((d) => diagnosticText(d, colours(io))).join("\n")}\n`);
  if (debug && error instanceof Error && error.stack) io.stderr.write(`${error.stack}\n`);
  if (interrupted) return exitCodes.interrupted;
  return codesOfExit.get(diagnostics[0]?.code ?? "") ?? exitCodes.failure;
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

const colours = (io: Io) => Boolean(io.stderr.isTTY) && !process.env["NO_COLOR"];
const colourOf = { error: 31, warning: 33, info: 36 } as const;

/** What, where and what to do, each on a line. */
export function diagnosticText(d: Diagnostic, colour = false): string {
  const paint = (code: number, s: string) => (colour ? `\u001b[${code}m${s}\u001b[0m` : s);
  const where = d.location ? formatLocation(d.location) : "";
  return [
    `${paint(colourOf[d.severity], d.severity)}: ${d.message.split("\n").map(oneLine).join("\n       ")} ${paint(2, `[${d.code}]`)}`,
    where && `  at ${oneLine(where)}`,
    d.hint && `  ${oneLine(d.hint)}`,
  ]
    .filter(Boolean)
    .join("\n");
}

export const writeDiagnostics = (list: readonly Diagnostic[], io: Io): void => {
  for (const d of list) io.stderr.write(`${diagnosticText(d, colours(io))}\n`);
};
