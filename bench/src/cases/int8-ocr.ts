import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Model, run, type Samples, samplesFrom, type Values } from "@pare/core";
import { openOnnx, ortX64, writeOnnx } from "@pare/onnx";
import { gather } from "@pare/ops/observe";
import { optimize } from "@pare/optimize";
import { autoFix, biasCorrection, equalize, int8, type Metric } from "@pare/quantize";
import { ort } from "@pare/runtime-ort";
import { models } from "edge-deploy/models";
import { decode, dictionary, type Line, recognitionInput, renderLines } from "edge-deploy/ocr";
import type { Benchmark } from "../benchmark.ts";

/** What ONNX Runtime's static int8 makes of the same lines, see the README of fixtures. */
const PEER = new URL("../../fixtures/int8-ocr-peer.json", import.meta.url);
interface Peer {
  readonly same: number;
  readonly lines: number;
  readonly bytes: number;
}

const samplesOf = (lines: readonly Line[], input: string): Samples =>
  samplesFrom(lines.map((l): Values => ({ [input]: recognitionInput(l.image) })));

export const int8Ocr: Benchmark = {
  name: "int8-ocr",
  about: "static int8 of the OCR recogniser, as it comes and after autoFix, on 200 lines",
  async run({ quick, progress, signal }) {
    const source = await openOnnx(models.recognition());
    const folder = await mkdtemp(join(tmpdir(), "pare-int8-ocr-"));
    try {
      const { model: clean } = await run(optimize(), source.model, { signal });
      const input = clean.graph.inputs[0]!.name;
      const lines = (seed: number, count: number) => renderLines({ seed, count });
      const test = lines(7, quick ? 40 : 200);
      const samples = samplesOf(lines(8, 32), input);
      const guide = samplesOf(lines(100, quick ? 60 : 1000), input);
      const characters = dictionary();
      const text: Metric<string> = {
        name: "lines read alike",
        answer: (outputs) => decode(Object.values(outputs)[0]!, characters),
      };
      const read = async (file: string) => {
        const session = await ort().prepareFile(file, { signal });
        const started = performance.now();
        const texts: string[] = [];
        try {
          for await (const sample of samplesOf(test, session.inputs[0]!.name).open())
            texts.push(text.answer(await session.run(sample, { signal })));
        } finally {
          await session.close();
        }
        return { texts, ms: (performance.now() - started) / test.length };
      };
      const truth = await read(models.recognition());
      const floatBytes = (await stat(models.recognition())).size;
      const cases: { name: string; same: number; bytes: number; ms: number }[] = [
        { name: "float32", same: test.length, bytes: floatBytes, ms: truth.ms },
      ];
      const judge = async (name: string, model: Model) => {
        progress(name);
        const file = join(folder, "out.onnx");
        const artifact = await writeOnnx(model, file, { decodeWeights: "load", signal });
        const { texts, ms } = await read(file);
        const same = texts.filter((t, i) => t === truth.texts[i]).length;
        cases.push({ name, same, bytes: artifact.files[0]!.byteLength, ms });
        return cases.at(-1)!;
      };
      const host = { runtime: ort(), target: ortX64, samples, gather, signal };
      const plain = await judge("int8", (await run([equalize(), biasCorrection(), int8()], clean, host)).model);
      const fixed = await autoFix(clean, {
        ...host,
        guide,
        metric: text,
        maxDrop: 1,
        onProgress: (what, done, total) => progress(`${what} (${done} of ${total})`),
      });
      const after = await judge("int8, autoFix", fixed.model);
      const { onnxruntime: peer } = JSON.parse(await readFile(PEER, "utf8")) as { readonly onnxruntime: Peer };
      const formats = [...fixed.formats.values()];
      const count = (f: string) => formats.filter((x) => x === f).length;
      return {
        figures: {
          lines: test.length,
          defaultSame: plain.same,
          autoFixSame: after.same,
          autoFixBytesShare: after.bytes / floatBytes,
        },
        cases,
        notes: [
          `ONNX Runtime's static int8 (1.32, min-max, per channel) reads ${peer.same} of the ${peer.lines} lines as the float model does, in ${peer.bytes} bytes.`,
          `autoFix left ${count("int8")} layers in int8, ${count("int8 weights")} with int8 weights and float32 activations, ${count("int12 weights")} with weights in 12 bits.`,
          ...fixed.trials.map(
            (t, i) =>
              `trial ${i + 1}: ${(100 - t.drop!).toFixed(1)} % of ${t.samples}, ${t.accepted ? "accepted" : "too far off"}`,
          ),
          ...fixed.sensitivity
            .toSorted((a, b) => a.int8Db - b.int8Db)
            .slice(0, 12)
            .map(
              (s) =>
                `${s.layer} (${s.op}): ${s.int8Db.toFixed(1)} dB alone${s.weightDb === undefined ? "" : `, ${s.weightDb.toFixed(1)} dB by its weight`}`,
            ),
        ],
      };
    } finally {
      await source.close();
      await rm(folder, { recursive: true, force: true });
    }
  },
};
