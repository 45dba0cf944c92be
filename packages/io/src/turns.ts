import { failure } from "@pare/core";

/** When a job is given up, and how what it is doing is stopped. */
export interface Patience {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds from the start of the job. */
  readonly timeout?: number | undefined;
  /** Stops what the job waits for. */
  readonly end: () => Promise<void>;
}

/**
 * Makes a queue of jobs, of which one is under way at a time. A job that is aborted, or takes longer than its time-out,
 * rejects at once with the signal's reason or an error `timeoutCode`, after `end`; one that waits its turn just never starts. The
 * job is told by the signal it is given.
 */
export function turns(
  timeoutCode: string,
): <T>(job: (stop: AbortSignal) => Promise<T>, patience: Patience) => Promise<T> {
  let last: Promise<void> = Promise.resolve();
  return (job, { signal, timeout, end }) =>
    new Promise((resolve, reject) => {
      const stop = new AbortController();
      let timer: ReturnType<typeof setTimeout> | undefined;
      let started = false;
      let over = false;
      const finish = (then: () => void) => {
        if (over) return;
        over = true;
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        then();
      };
      const giveUp = (reason: unknown) =>
        finish(() => {
          stop.abort(reason);
          if (started)
            end().then(
              () => reject(reason),
              () => reject(reason),
            );
          else reject(reason);
        });
      const onAbort = () => giveUp(signal?.reason);
      if (signal?.aborted) return onAbort();
      signal?.addEventListener("abort", onAbort, { once: true });
      last = last.then(async () => {
        if (over) return;
        started = true;
        if (timeout !== undefined)
          timer = setTimeout(
            () => giveUp(failure(timeoutCode, `it took longer than ${timeout} ms and was ended`)),
            timeout,
          );
        try {
          const result = await job(stop.signal);
          finish(() => resolve(result));
        } catch (error) {
          finish(() => reject(error));
        }
      });
    });
}
