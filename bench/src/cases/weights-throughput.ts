import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { chunksOf, graph, model, node, type Pass, run, type Tensor, tensor, value } from "@pare/core";
import { float16, int8Weights } from "@pare/quantize";
import type { Benchmark } from "../benchmark.ts";

const passes: Readonly<Record<string, () => Pass>> = {
  float16: () => float16({ compute: "float32" }),
  int8: () => int8Weights(),
};

/** A model of one matrix in memory, of normal-looking numbers. */
function oneMatrix(rows: number): Tensor<"float32"> {
  const data = new Float32Array(rows * 4096);
  let state = 1;
  for (let i = 0; i < data.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    data[i] = state / 2 ** 31;
  }
  return tensor("float32", [rows, 4096], data);
}

/** Seconds that a pass takes on the matrix: measuring, and computing every byte that would be written. */
async function passSeconds(makePass: () => Pass, weight: Tensor): Promise<number> {
  const source = model(
    graph({
      inputs: [value("x", "float32", ["N", weight.shape[0]!])],
      outputs: [value("y", "float32", ["N", 4096])],
      nodes: [node("MatMul", ["x", "w"], ["y"])],
      weights: new Map([["w", weight]]),
    }),
  );
  const started = performance.now();
  const result = await run(makePass(), source);
  for (const t of result.model.graph.weights.values()) for await (const chunk of chunksOf(t)) void chunk;
  return (performance.now() - started) / 1000;
}

/** Seconds to copy the matrix within memory, piece by piece as the passes go. */
async function copySeconds(weight: Tensor): Promise<number> {
  const into = new Uint8Array(1 << 20);
  const started = performance.now();
  for await (const chunk of chunksOf(weight)) into.set(chunk);
  return (performance.now() - started) / 1000;
}

/** GB/s of source bytes, best of three: a machine that does something else meanwhile only makes it slower. */
async function rates(rows: number): Promise<Record<string, number>> {
  const weight = oneMatrix(rows);
  const best = async (seconds: () => Promise<number>) => {
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 3; i++) least = Math.min(least, await seconds());
    return weight.byteLength / least / 1e9;
  };
  return {
    float16: await best(() => passSeconds(passes["float16"]!, weight)),
    int8: await best(() => passSeconds(passes["int8"]!, weight)),
    copy: await best(() => copySeconds(weight)),
  };
}

if (!isMainThread && (workerData as { rows?: number } | null)?.rows)
  void rates((workerData as { rows: number }).rows).then((r) => parentPort!.postMessage(r));

export const weightsThroughput: Benchmark = {
  name: "weights-throughput",
  about: "GB/s of float16 and int8 weights against a copy in memory",
  async run({ quick, progress }) {
    const rows = quick ? 4096 : 16384;
    progress("one core");
    const one = await rates(rows);
    const cores = availableParallelism();
    progress(`${cores} cores`);
    const together = await Promise.all(
      Array.from(
        { length: cores },
        () =>
          new Promise<Record<string, number>>((resolve, reject) => {
            const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { rows } });
            worker.once("message", resolve);
            worker.once("error", reject);
          }),
      ),
    );
    const all = (what: string) => together.reduce((sum, r) => sum + r[what]!, 0);
    const names = ["float16", "int8", "copy"];
    return {
      figures: Object.fromEntries(
        names.flatMap((n) => [
          [`${n}GBs`, one[n]!],
          [`${n}GBsAll`, all(n)],
        ]),
      ),
      cases: names.map((n) => ({ name: n, oneCoreGBs: one[n]!, allCoresGBs: all(n) })),
      notes: [`GB/s of float32 read, best of three; all = ${cores} threads, each with a matrix of its own.`],
    };
  },
};
