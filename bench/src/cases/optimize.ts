import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Model, type ResidentTensor, run, type Values } from "@pare/core";
import { openOnnx, writeOnnx } from "@pare/onnx";
import { numbersOf } from "@pare/ops/numeric";
import { optimize } from "@pare/optimize";
import { nodeCount } from "@pare/report";
import { ort } from "@pare/runtime-ort";
import type { BenchCase, Benchmark } from "../benchmark.ts";
import { inputsFor, type RealModel, realModels } from "../real-models.ts";

/**
 * The fewest nodes and bytes that onnxsim 0.8.1 (`onnxsim.simplify`) and onnxslim 0.1.98 (`onnxslim.slim`) leave, each
 * counted with subgraphs and `Constant` nodes; recorded once, with onnx 1.23.2.
 */
const peers: Readonly<Record<string, { readonly nodes: number; readonly bytes: number }>> = {
  "ch_PP-OCRv4_det_infer": { nodes: 297, bytes: 4_762_660 },
  "ch_PP-OCRv4_rec_infer": { nodes: 377, bytes: 10_826_551 },
  "ch_ppocr_mobile_v2.0_cls_infer": { nodes: 180, bytes: 549_700 },
  silero_vad_v5: { nodes: 152, bytes: 2_240_629 },
  silero_vad_legacy: { nodes: 164, bytes: 1_276_775 },
  silero_vad_16k_op15: { nodes: 76, bytes: 1_261_707 },
  silero_vad_half: { nodes: 73, bytes: 1_258_683 },
  silero_vad_op18_ifless: { nodes: 90, bytes: 2_194_432 },
  mobilenetv2: { nodes: 44, bytes: 402_786 },
  mobilenetv3: { nodes: 74, bytes: 438_227 },
  resnet8: { nodes: 22, bytes: 314_719 },
  "vgg-rescaled": { nodes: 19, bytes: 893_106 },
  vgg: { nodes: 19, bytes: 893_106 },
  vit: { nodes: 159, bytes: 914_463 },
};

export const optimizeBenchmark: Benchmark = {
  name: "optimize",
  about: "nodes and bytes that optimize leaves of real models, against onnxsim and onnxslim; answers in ONNX Runtime",
  async run({ data, progress, signal }) {
    const folder = await mkdtemp(join(tmpdir(), "pare-optimize-"));
    const cases: BenchCase[] = [];
    try {
      // Once beforehand, so that no model pays for starting.
      for (const [i, real] of [...realModels(data).slice(0, 1), ...realModels(data)].entries()) {
        progress(real.name);
        const { model, close } = await openOnnx(real.file);
        try {
          const started = performance.now();
          const { model: optimized } = await run(optimize(), model, { signal });
          const seconds = (performance.now() - started) / 1000;
          const file = join(folder, "optimized.onnx");
          await writeOnnx(optimized, file, { signal });
          if (i === 0) continue;
          const peer = peers[real.name.replace(/\.onnx$/, "")];
          cases.push({
            name: real.name.replace(/\.onnx$/, ""),
            nodesBefore: nodeCount(model),
            nodes: nodeCount(optimized),
            ...(peer && { peerNodes: peer.nodes }),
            bytesBefore: (await stat(real.file)).size,
            bytes: (await stat(file)).size,
            ...(peer && { peerBytes: peer.bytes }),
            maxDiff: await difference(real, model, file, signal),
            seconds,
          });
        } finally {
          await close();
        }
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    const most = (column: string) => Math.max(...cases.map((c) => Number(c[column])));
    return {
      figures: {
        models: cases.length,
        nodesAbovePeer: cases.filter((c) => Number(c["nodes"]) > Number(c["peerNodes"])).length,
        bytesAbovePeer: cases.filter((c) => Number(c["bytes"]) > Number(c["peerBytes"])).length,
        maxDiff: most("maxDiff"),
        seconds: most("seconds"),
      },
      cases,
    };
  },
};

/** Worst difference of any output in ONNX Runtime, over inputs of several shapes and, for voice, both sample rates. */
async function difference(real: RealModel, model: Model, file: string, signal: AbortSignal): Promise<number> {
  const before = await ort().prepareFile(real.file, { signal });
  const after = await ort().prepareFile(file, { signal });
  try {
    let worst = 0;
    for (const inputs of inputsOf(real, model)) {
      const [a, b] = [await before.run(inputs, { signal }), await after.run(inputs, { signal })];
      for (const [name, expected] of Object.entries(a)) worst = Math.max(worst, distance(expected, b[name]!));
    }
    return worst;
  } finally {
    await Promise.all([before.close(), after.close()]);
  }
}

function inputsOf({ shapes }: RealModel, model: Model): Values[] {
  if ("sr" in shapes) {
    const low = inputsFor(model, { ...shapes, input: [1, 256] }, 8000);
    const hasRate = model.graph.inputs.some((v) => v.name === "sr");
    return [inputsFor(model, shapes), ...(hasRate ? [low] : [])];
  }
  const one = Object.fromEntries(Object.entries(shapes).map(([name, [, ...rest]]) => [name, [1, ...rest]]));
  return [inputsFor(model, shapes), inputsFor(model, one)];
}

function distance(a: ResidentTensor, b: ResidentTensor): number {
  const [x, y] = [numbersOf(a), numbersOf(b)];
  return x.length === y.length
    ? x.reduce<number>((m, v, i) => Math.max(m, Math.abs(Number(v) - Number(y[i]))), 0)
    : Number.POSITIVE_INFINITY;
}
