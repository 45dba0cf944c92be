import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { graph, type Model, model, node, value } from "@pare/core";
import { writeOnnx } from "@pare/onnx";
import { models } from "edge-deploy/models";
import type { BenchCase, BenchContext, Benchmark, BenchResult } from "../benchmark.ts";
import { median, runScript } from "../command.ts";
import { noiseTensor } from "./vgg16-model.ts";

const LAYERS = 16;
/** 16 matrices of so many rows and columns take 100 MB. */
const WIDE = 1250;
const NARROW = 8;
const ROUNDS = 5;

/** A chain of products with matrices of weights. */
function chain(width: number): Model {
  const names = Array.from({ length: LAYERS }, (_, i) => `layer${i}`);
  const before = (i: number) => (i === 0 ? "x" : `layer${i - 1}_out`);
  return model(
    graph({
      inputs: [value("x", "float32", [1, width])],
      outputs: [value(`layer${LAYERS - 1}_out`, "float32", [1, width])],
      nodes: names.map((n, i) => node("MatMul", [before(i), `${n}_weight`], [`${n}_out`])),
      weights: new Map(names.map((n, i) => [`${n}_weight`, noiseTensor([width, width], width ** -0.5, i + 1)])),
    }),
  );
}

async function tfliteCost({ quick, progress, signal }: BenchContext): Promise<BenchResult> {
  const folder = await mkdtemp(join(tmpdir(), "pare-tflite-cost-"));
  const child = fileURLToPath(new URL("./tflite-cost-child.js", import.meta.url));
  try {
    const [wide, narrow] = [join(folder, "wide.onnx"), join(folder, "narrow.onnx")];
    await writeOnnx(chain(WIDE), wide, { signal });
    await writeOnnx(chain(NARROW), narrow, { signal });
    const subjects = [
      { name: "detector", file: models.detection(), shapes: { x: [1, 3, 640, 640] } },
      { name: "100 MB", file: wide, shapes: {} },
      { name: "the same without weights", file: narrow, shapes: {} },
    ];
    const cases: (BenchCase & { readonly seconds: number; readonly peakMB: number })[] = [];
    for (const { name, file, shapes } of subjects) {
      const [seconds, peaks]: [number[], number[]] = [[], []];
      for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
        progress(`${name}, ${round + 1}`);
        const ran = await runScript(child, [file, join(folder, "out.tflite"), JSON.stringify(shapes)], signal);
        seconds.push((JSON.parse(ran.stdout) as { seconds: number }).seconds);
        peaks.push(ran.peakMB);
      }
      const { size } = await stat(file);
      cases.push({ name, megabytes: size / 1e6, seconds: median(seconds), peakMB: Math.max(...peaks) });
    }
    const [detector, large, small] = cases as [(typeof cases)[0], (typeof cases)[0], (typeof cases)[0]];
    const added = (large.peakMB - small.peakMB) / Number(large["megabytes"]);
    return {
      figures: {
        seconds: detector.seconds,
        peakMB: detector.peakMB,
        seconds100MB: large.seconds,
        growth100MB: added,
      },
      cases,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export const tfliteCostBenchmark: Benchmark = {
  name: "tflite-cost",
  about: "time and memory of conversion to TFLite: the OCR detector, and a model of 100 MB",
  run: tfliteCost,
};
