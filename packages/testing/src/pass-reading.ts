import {
  type ByteRange,
  isPareError,
  type Model,
  type Pass,
  type RunOptions,
  run,
  type Tensor,
  viewOf,
  weightsOf,
} from "@pare/core";
import { expectThat, rejectionOf, within } from "./law.ts";
import { singleWeightModel } from "./models.ts";
import { hugeTensor } from "./synthetic.ts";

const MIB = 2 ** 20;
/** No piece of work needs more of a weight at once. */
const LARGEST_READ = 16 * MIB;

/** That a pass ends soon when it is aborted at its first word. */
export async function abortWhileRunning(pass: Pass, host: Omit<RunOptions, "signal">, patience: number): Promise<void> {
  const reason = new Error("aborted while running");
  const controller = new AbortController();
  // A weight that takes minutes to read; whoever heeds the signal ends at once.
  const { tensor, reads } = hugeTensor(64 * MIB, { delay: 4 * patience, onRead: () => controller.abort(reason) });
  const m = singleWeightModel(tensor);
  const before = m.graph;
  const interrupting: Pass = {
    ...pass,
    run: (model, ctx) =>
      pass.run(model, {
        ...ctx,
        done(...args) {
          ctx.done(...args);
          controller.abort(reason);
        },
        skip(...args) {
          ctx.skip(...args);
          controller.abort(reason);
        },
        progress(...args) {
          ctx.progress(...args);
          controller.abort(reason);
        },
      }),
  };
  const outcome = await within(
    patience,
    "abort-ignored",
    `${pass.name} went on for more than ${patience} ms after it was aborted`,
    run(interrupting, m, { ...host, signal: controller.signal }).catch((error: unknown) => ({ error })),
  );
  if (controller.signal.aborted)
    expectThat(
      "error" in outcome && outcome.error === reason,
      "abort-reason",
      `${pass.name} did not reject with the signal's reason`,
      {
        cause: outcome,
      },
    );
  expectThat(
    m.graph === before && reads.calls <= 2,
    "abort-ignored",
    `${pass.name} went on reading after it was aborted`,
  );
}

/** That reading what a pass made ends soon when it is aborted. */
export async function abortWhileReading(
  pass: Pass,
  apply: (m: Model) => Promise<Model>,
  patience: number,
): Promise<void> {
  if (pass.reads) return;
  const reason = new Error("aborted while reading");
  const controller = new AbortController();
  const { tensor } = hugeTensor(16 * MIB, { delay: 4 * patience, onRead: () => controller.abort(reason) });
  for (const t of lazyWeights(await apply(singleWeightModel(tensor)))) {
    const error = await within(
      patience,
      "abort-ignored",
      `reading what ${pass.name} made went on for more than ${patience} ms after it was aborted`,
      rejectionOf(() => t.read(undefined, controller.signal), "abort-ignored", "an aborted read gave bytes"),
    );
    expectThat(error === reason, "abort-reason", `reading rejected with ${String(error)}, not the signal's reason`);
  }
}

const lazyWeights = (m: Model): Tensor[] => [...weightsOf(viewOf(m))].map((w) => w.tensor).filter((t) => !t.bytes);

/** That a pass reads no large weight. */
export async function readsNothing(apply: (m: Model) => Promise<Model>): Promise<void> {
  const { tensor, reads } = hugeTensor(MIB);
  await apply(singleWeightModel(tensor));
  expectThat(
    reads.bytes === 0,
    "early-read",
    `${reads.bytes} bytes of a large weight were read before anyone asked for the result`,
    {
      hint: 'Derive it with deriveTensor; or declare reads: "weights" if the method must look at it.',
    },
  );
}

/** That a pass reads large weights piece by piece. */
export async function readsInPieces(apply: (m: Model) => Promise<Model>): Promise<void> {
  const { tensor, reads } = hugeTensor(48 * MIB);
  await apply(singleWeightModel(tensor));
  expectThat(reads.largest <= LARGEST_READ, "large-read", `${reads.largest} bytes of a weight were read at once`, {
    hint: "Stream it with elementsOf or chunksOf.",
  });
}

/** That the ends of a result of `size` bytes are made within `budget` bytes of reading, and about that of memory. */
export async function staysSmall(
  pass: Pass,
  apply: (m: Model) => Promise<Model>,
  size: number,
  budget: number,
  prepares: boolean,
): Promise<void> {
  // Statistics take one reading of the whole; a pass that keeps them reads it no second time.
  const { tensor, reads } = hugeTensor(size, { budget: budget + (prepares ? size : 0) });
  const start = memory();
  let peak = 0;
  const look = () => (peak = Math.max(peak, memory() - start));
  for (const t of lazyWeights(await apply(singleWeightModel(tensor)))) {
    const length = Math.min(MIB, t.byteLength);
    const ranges: ByteRange[] = [
      { offset: 0, length },
      { offset: t.byteLength - length, length },
    ];
    for (const range of ranges) {
      try {
        await t.read(range);
      } catch (error) {
        const hint = "If a derived weight needs statistics of the whole tensor, say so: { prepares: true }.";
        expectThat(
          !(isPareError(error) && error.code === "testing/read-budget"),
          "read-budget",
          `${pass.name}: ${String(error)}`,
          { hint, cause: error },
        );
        throw error;
      }
      look();
    }
  }
  expectThat(
    reads.largest <= LARGEST_READ,
    "large-read",
    `${pass.name} read ${reads.largest} bytes of a weight at once`,
  );
  expectThat(
    peak <= 4 * budget,
    "memory",
    `memory grew by ${Math.round(peak / MIB)} MiB for the first and last MiB of a weight`,
  );
}

interface MemoryUsage {
  readonly process?: { memoryUsage?(): { heapUsed: number; arrayBuffers: number } };
}

/** Bytes in use, where the platform says. */
function memory(): number {
  const usage = (globalThis as MemoryUsage).process?.memoryUsage?.();
  return usage ? usage.heapUsed + usage.arrayBuffers : 0;
}
