/** Work that stops between nodes and where elements of tensors are read: waited for, or read at once. */
import { type Engine, onBackend, type Tensor } from "./engine.ts";

export type Data = Float32Array | Int32Array | Uint8Array;

/** Gives way, or asks for the elements of a tensor, which it is sent. */
export type Steps<T> = Generator<Tensor | undefined, T, Data | undefined>;

/** How long nodes run before others have their turn, and an abort is heard. */
const SLICE_MS = 50;

/** Runs it to its end on the engine's backend. Rejects with the signal's reason where it gives way. */
export async function finish<T>(engine: Engine, steps: Steps<T>, stop: AbortSignal): Promise<T> {
  let data: Data | undefined;
  for (;;) {
    const step = onBackend(engine, () => stretch(steps, data));
    if (step.done) return step.value;
    data = step.value && ((await step.value.data()) as Data);
    if (!data) await new Promise((resolve) => setTimeout(resolve));
    stop.throwIfAborted();
  }
}

/** Goes on until elements are asked for or others should have their turn. */
function stretch<T>(steps: Steps<T>, data: Data | undefined): IteratorResult<Tensor | undefined, T> {
  const since = performance.now();
  let step = steps.next(data);
  while (!step.done && !step.value && performance.now() - since < SLICE_MS) step = steps.next(undefined);
  return step;
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
