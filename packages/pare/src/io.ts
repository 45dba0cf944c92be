/** A stream that text is written to. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

/** What a command runs in. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly signal: AbortSignal;
  readonly cwd: string;
}

/** Exit codes of the command line. */
export const exitCodes = {
  ok: 0,
  failure: 1,
  usage: 2,
  coverage: 3,
  verification: 4,
  interrupted: 130,
} as const;
