import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ResidentTensor, samplesFrom, tensor } from "@pare/core";
import { openSource } from "@pare/io";
import { openOnnx, writeOnnx } from "@pare/onnx";
import { compare, gzipSize } from "@pare/report";
import { ort } from "@pare/runtime-ort";
import type { Benchmark } from "../benchmark.ts";
import { pareCommand, runScript } from "../command.ts";
import { vgg16Model } from "./vgg16-model.ts";

/** The classic recipe: small weights to zero, the rest to float16. */
const recipes: readonly { readonly name: string; readonly flags: readonly string[] }[] = [
  { name: "threshold 0.1", flags: ["--threshold"] },
  { name: "float16 weights", flags: ["--float16.compute", "float32"] },
  { name: "threshold 0.1, float16 weights", flags: ["--threshold", "--float16.compute", "float32"] },
  { name: "threshold 0.1, int8 weights", flags: ["--threshold", "--int8-weights"] },
];

export const vgg16: Benchmark = {
  name: "vgg16",
  about: "threshold and float16 on VGG16 at full size",
  async run({ quick, progress, signal }) {
    const folder = await mkdtemp(join(tmpdir(), "pare-vgg16-"));
    try {
      const source = join(folder, "vgg16.onnx");
      progress("writing VGG16 with random weights");
      await writeOnnx(vgg16Model(), source, { signal });
      const bytes = (await stat(source)).size;
      const cases = [];
      for (const { name, flags } of quick ? recipes.slice(2, 3) : recipes) {
        progress(name);
        const out = join(folder, "out.onnx");
        const ran = await runScript(
          pareCommand(),
          ["compress", source, ...flags, "--no-verify", "-o", out, "--quiet"],
          signal,
        );
        const outBytes = (await stat(out)).size;
        progress(`${name}: comparing`);
        const image = imageOf(1);
        const [a, b] = await Promise.all([openOnnx(source), openOnnx(out)]);
        const result = await compare(
          { name: "source", model: a.model, runtime: ort(), file: source },
          { name, model: b.model, runtime: ort(), file: out },
          { samples: samplesFrom([{ image }]), signal },
        );
        await Promise.all([a.close(), b.close()]);
        cases.push({
          name,
          bytes: outBytes,
          ratio: outBytes / bytes,
          gzip: await compressedSize(out),
          seconds: ran.seconds,
          peakMB: ran.peakMB,
          sqnrDb: result.outputs[0]!.sqnrDb,
        });
        await rm(out);
      }
      const classic = cases.find((c) => c.name === "threshold 0.1, float16 weights")!;
      return {
        figures: {
          parameters: 138_357_544,
          bytes,
          outBytes: classic.bytes,
          gzipBytes: classic.gzip,
          seconds: classic.seconds,
          peakMB: classic.peakMB,
        },
        cases,
        notes: ["Random weights: a trained network has more small weights and compresses better."],
      };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function compressedSize(path: string): Promise<number> {
  const source = await openSource(path);
  try {
    return await gzipSize([source]);
  } finally {
    await source.close();
  }
}

function imageOf(seed: number): ResidentTensor {
  const pixels = new Float32Array(3 * 224 * 224);
  let state = seed;
  for (let i = 0; i < pixels.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    pixels[i] = state / 2 ** 31;
  }
  return tensor("float32", [1, 3, 224, 224], pixels);
}
