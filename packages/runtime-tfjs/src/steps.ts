/** Work that stops between nodes and where elements of tensors are read: waited for, or read at once. */
import type { Tensor } from "./engine.ts";

export type Data = Float32Array | Int32Array | Uint8Array;

/** Gives way, or asks for the elements of a tensor, which it is sent. */
export type Steps<T> = Generator<Tensor | undefined, T, Data | undefined>;

/** How long nodes run before others have their turn, and an abort is heard. */
const SLICE_MS = 50;

/** Runs it to its end. Rejects with the signal's reason between two nodes. */
export async function finish<T>(steps: Steps<T>, stop: AbortSignal): Promise<T> {
  let data: Data | undefined;
  for (let since = performance.now(); ; ) {
    const step = steps.next(data);
    if (step.done) return step.value;
    data = step.value && ((await step.value.data()) as Data);
    if (performance.now() - since >= SLICE_MS) {
      await new Promise((resolve) => setTimeout(resolve));
      since = performance.now();
    }
    stop.throwIfAborted();
  }
}

/** The same without waiting. */
export function finishNow<T>(steps: Steps<T>): T {
  let data: Data | undefined;
  for (;;) {
    const step = steps.next(data);
    if (step.done) return step.value;
    data = step.value && (step.value.dataSync() as Data);
  }
}
