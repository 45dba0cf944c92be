import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Pass, run, samplesFrom } from "@pare/core";
import { openOnnx, writeOnnx } from "@pare/onnx";
import { gather } from "@pare/ops/observe";
import { optimize } from "@pare/optimize";
import { float16, int8Weights } from "@pare/quantize";
import { ort } from "@pare/runtime-ort";
import { models } from "edge-deploy/models";
import { characterErrorRate, dictionary, type Line, readLine, recognitionInput, renderLines } from "edge-deploy/ocr";
import type { Benchmark } from "../benchmark.ts";

const versions: readonly { readonly name: string; readonly passes: readonly Pass[] }[] = [
  { name: "float16", passes: [optimize(), float16()] },
  { name: "float16 weights", passes: [optimize(), float16({ compute: "float32" })] },
  { name: "int8 weights", passes: [optimize(), int8Weights({ granularity: "channel" })] },
];

async function read(file: string, lines: readonly Line[], signal: AbortSignal): Promise<string[]> {
  const characters = dictionary();
  const session = await ort().prepareFile(file, { signal });
  try {
    const texts: string[] = [];
    for (const line of lines)
      texts.push(
        await readLine((inputs) => session.run(inputs, { signal }), line.image, characters, session.inputs[0]!.name),
      );
    return texts;
  } finally {
    await session.close();
  }
}

export const ocr: Benchmark = {
  name: "ocr",
  about: "200 rendered lines read by the source, float16 and int8 weights",
  async run({ quick, progress, signal }) {
    const lines = renderLines({ seed: 7, count: quick ? 40 : 200 });
    // Lines of another seed: inner values are measured on, and weights rounded by, what is not judged.
    const samples = samplesFrom(renderLines({ seed: 8, count: 8 }).map((l) => ({ x: recognitionInput(l.image) })));
    const folder = await mkdtemp(join(tmpdir(), "pare-ocr-"));
    try {
      progress("source");
      const truth = await read(models.recognition(), lines, signal);
      const right = (texts: readonly string[]) => texts.filter((t, i) => t.trim() === lines[i]!.text).length;
      const rate = (texts: readonly string[]) =>
        texts.reduce((sum, t, i) => sum + characterErrorRate(lines[i]!.text, t.trim()), 0) / texts.length;
      const cases: {
        name: string;
        same: number;
        lines: number;
        right: number;
        characterErrorRate: number;
        bytes: number;
      }[] = [];
      const source = await openOnnx(models.recognition());
      for (const { name, passes } of versions) {
        progress(name);
        const { model } = await run(passes, source.model, { runtime: ort(), samples, gather, signal });
        const file = join(folder, "out.onnx");
        const artifact = await writeOnnx(model, file, { signal });
        const texts = await read(file, lines, signal);
        const same = texts.filter((t, i) => t === truth[i]).length;
        cases.push({
          name,
          same,
          lines: lines.length,
          right: right(texts),
          characterErrorRate: rate(texts),
          bytes: artifact.files[0]!.byteLength,
        });
      }
      await source.close();
      const same = (name: string) => cases.find((c) => c.name === name)!.same;
      return {
        figures: { lines: lines.length, float16Same: same("float16"), int8Same: same("int8 weights") },
        cases: [
          {
            name: "source",
            same: lines.length,
            lines: lines.length,
            right: right(truth),
            characterErrorRate: rate(truth),
            bytes: (await stat(models.recognition())).size,
          },
          ...cases,
        ],
      };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};
