import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { biasCorrection, compress, equalize, int8, optimize, ortX64 } from "pare";
import type { BenchCase, Benchmark } from "../benchmark.ts";
import { fashion, networks, someImages } from "../fashion.ts";

const CALIBRATE = 100;

export const int8Latency: Benchmark = {
  name: "int8-latency",
  about: "int8 against float32 in ONNX Runtime, per network; where it is slower, whether the report says so",
  async run({ data, quick, progress, signal }) {
    const train = await fashion(data, "train");
    const folder = await mkdtemp(join(tmpdir(), "pare-latency-"));
    const cases: BenchCase[] = [];
    try {
      for (const { name, file } of await networks(data)) {
        progress(name);
        const result = await compress(file, {
          passes: [optimize(), equalize(), biasCorrection(), int8()],
          target: ortX64,
          samples: someImages(train, CALIBRATE, 1),
          output: join(folder, "out.onnx"),
          latency: { budgetMs: quick ? 500 : 4000 },
          signal,
        });
        try {
          const { before, after } = result.latency!;
          cases.push({
            name,
            floatMs: before.medianMs,
            int8Ms: after.medianMs,
            speedup: before.medianMs / after.medianMs,
            slower: after.medianMs > before.medianMs ? 1 : 0,
            said: result.diagnostics.some((d) => d.code === "pare/slower") ? 1 : 0,
          });
        } finally {
          await result.close();
        }
      }
      const count = (key: string) => cases.filter((c) => c[key] === 1).length;
      return {
        figures: { networks: cases.length, slower: count("slower"), said: count("said") },
        cases,
        notes: [
          "One image a run, medians of runs that take turns. The report warns where int8 takes a tenth longer than float32, and from 2 % on where nine of ten rounds agree: two measurements of one network differ by up to 8 %.",
        ],
      };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};
