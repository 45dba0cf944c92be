import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  byteLengthOf,
  elementCount,
  isPareError,
  memorySource,
  type ResidentTensor,
  tensor,
  type Values,
} from "@pare/core";
import { type LitertSession, litert } from "@pare/runtime-litert";
import { fromCore, modelBytes, readModel, toCore } from "@pare/tflite";
import type { BenchCase, BenchContext, Benchmark, BenchResult } from "../benchmark.ts";
import { tfliteFiles } from "../tflite-files.ts";

/** What LiteRT makes of a file: the bytes of each output, or why there are none. */
type Answer = { readonly outputs: Values } | { readonly refused: string };

/**
 * Sends TFLite files of others through reader, IR and writer, which keep no byte of the file, and runs both in LiteRT on the
 * same inputs: the outputs must be the same to the last bit, or neither runs.
 */
async function tfliteRoundtrip(ctx: BenchContext): Promise<BenchResult> {
  const count = { total: 0, same: 0, neitherRuns: 0, smaller: 0 };
  const cases: BenchCase[] = [];
  const folder = await mkdtemp(join(tmpdir(), "pare-tflite-roundtrip-"));
  try {
    const files = [...tfliteFiles(ctx.data)];
    for (const { name, bytes } of ctx.quick ? files.filter((_, i) => i % 8 === 0) : files) {
      ctx.signal.throwIfAborted();
      ctx.progress(`${++count.total} of ${files.length}: ${name}`);
      const report = (problem: string) => cases.push({ name, problem });
      const written = await rewritten(bytes).catch((error: Error) => error);
      if (written instanceof Error) {
        report(written.message);
        continue;
      }
      if (written.length < bytes.length) count.smaller++;
      const [before, after] = [await answer(folder, bytes, ctx.signal), await answer(folder, written, ctx.signal)];
      if ("refused" in before && "refused" in after) {
        count.neitherRuns++;
        report(`neither runs: ${before.refused}`);
      } else if ("refused" in before) report(`only the new file runs: ${before.refused}`);
      else if ("refused" in after) report(`only the old file runs: ${after.refused}`);
      else if (sameOutputs(before.outputs, after.outputs)) count.same++;
      else report("the outputs differ");
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return { figures: count, cases };
}

/** Through the model of TFLite and that of Pare, and back. */
async function rewritten(bytes: Uint8Array): Promise<Uint8Array> {
  return modelBytes(fromCore(toCore(await readModel(memorySource(bytes)))));
}

async function answer(folder: string, bytes: Uint8Array, signal: AbortSignal): Promise<Answer> {
  const path = join(folder, "model.tflite");
  await writeFile(path, bytes);
  let session: LitertSession | undefined;
  try {
    session = await litert().prepareFile(path, { signal });
    return { outputs: await session.run(inputsFor(session), { signal, timeout: 60_000 }) };
  } catch (error) {
    if (!isPareError(error)) throw error;
    return { refused: error.diagnostics[0]!.message.split("\n")[0]! };
  } finally {
    await session?.close();
  }
}

/** The same inputs for the same model: bytes of a fixed pattern, sensible numbers where they are floats; open dimensions are 1. */
function inputsFor(session: LitertSession): Values {
  const made = (i: number): number => ((i * 7919) % 251) / 125 - 1;
  return Object.fromEntries(
    session.inputs.map(({ name, type }): [string, ResidentTensor] => {
      if (type?.kind !== "tensor") throw new Error(`${name} is no tensor`);
      const shape = (type.shape ?? []).map((d) => (typeof d === "number" ? d : 1));
      const length = elementCount(shape);
      if (type.dtype === "float32")
        return [
          name,
          tensor(
            "float32",
            shape,
            Float32Array.from({ length }, (_, i) => made(i)),
          ),
        ];
      const bytes = new Uint8Array(byteLengthOf(type.dtype, length));
      // Indices stay 0 or 1, whatever their width.
      if (/^(u?int8)$/.test(type.dtype)) for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 37) % 251;
      return [name, tensor(type.dtype, shape, bytes)];
    }),
  );
}

const sameOutputs = (a: Values, b: Values): boolean => {
  const names = Object.keys(a);
  return (
    names.join() === Object.keys(b).join() &&
    names.every((name) => {
      const [x, y] = [a[name]!, b[name]!];
      return x.dtype === y.dtype && `${x.shape}` === `${y.shape}` && Buffer.from(x.bytes).equals(Buffer.from(y.bytes));
    })
  );
};

export const tfliteRoundtripBenchmark: Benchmark = {
  name: "tflite-roundtrip",
  about: "TFLite files of others through reader and writer, both run in LiteRT",
  run: tfliteRoundtrip,
};
