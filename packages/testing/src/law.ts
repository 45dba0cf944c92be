import { type Diagnostic, failure, isPareError } from "@pare/core";

/** One law of a contract as a test case: `for (const law of laws) test(law.name, law.run)`. */
export interface Law {
  /** What must hold, in words; with the reason when it is skipped. */
  readonly name: string;
  /** Why it does not apply to what is tested. `run` then does nothing. */
  readonly skipped?: string;
  /** Rejects with a PareError `testing/…` that says what was broken. */
  run(): Promise<void>;
}

/** Builds a law; `skipped` is the reason for which it does not apply. */
export const law = (name: string, run: () => void | Promise<void>, skipped?: string): Law =>
  skipped === undefined
    ? { name, run: async () => run() }
    : { name: `${name} (skipped: ${skipped})`, skipped, run: async () => {} };

/** Throws `testing/CODE` unless `holds`. */
export function expectThat(
  holds: boolean,
  code: string,
  message: string,
  more: { hint?: string; cause?: unknown } = {},
): asserts holds {
  if (!holds) throw failure(`testing/${code}`, message, more);
}

/** What a promise was rejected with; throws when it was not. */
export async function rejectionOf(work: () => unknown, code: string, message: string): Promise<unknown> {
  try {
    await work();
  } catch (error) {
    return error;
  }
  throw failure(`testing/${code}`, message);
}

/** The diagnostics of a rejection, which must be a PareError. */
export async function problemsOf(work: () => unknown, code: string, message: string): Promise<readonly Diagnostic[]> {
  const error = await rejectionOf(work, code, message);
  expectThat(isPareError(error), code, `${message}, but it failed with ${String(error)}`, { cause: error });
  return error.diagnostics;
}

/** Settles as `work` does, or fails with `testing/CODE` after `milliseconds`. */
export async function within<T>(milliseconds: number, code: string, message: string, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(failure(`testing/${code}`, message)), milliseconds);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
