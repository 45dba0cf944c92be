import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run, type Samples, samplesFrom } from "@pare/core";
import { openOnnx, ortX64, writeOnnx } from "@pare/onnx";
import { gather } from "@pare/ops/observe";
import { optimize } from "@pare/optimize";
import { blockWeights, int8Weights } from "@pare/quantize";
import { ort } from "@pare/runtime-ort";
import { models } from "edge-deploy/models";
import { dictionary, type Line, readLine, recognitionInput, renderLines } from "edge-deploy/ocr";
import type { Benchmark } from "../benchmark.ts";
import { accuracy, fashion, someImages } from "../fashion.ts";

/** What ONNX Runtime's MatMulNBitsQuantizer reaches; fixtures/README.md says how it was recorded. */
const FIXTURE = new URL("../../fixtures/matmul-nbits.json", import.meta.url);

interface Recorded {
  readonly block: number;
  readonly symmetric: boolean;
  readonly score: number;
  readonly bytes: number;
}
type Fixture = { readonly onnxruntime: string } & Readonly<Record<"vit" | "ocr", readonly Recorded[]>>;

interface Subject {
  readonly name: "vit" | "ocr";
  readonly file: string;
  readonly samples: Samples;
  readonly score: (file: string) => Promise<number>;
}

/** Matrices in blocks of 4 bits, all other weights in 8. */
const passes = [optimize(), blockWeights(), int8Weights()];

export const int4: Benchmark = {
  name: "int4",
  about: "block-wise int4 weights of a transformer and of the OCR recogniser, against ONNX Runtime's quantizer",
  async run({ data, quick, progress, signal }) {
    const { onnxruntime, ...peers } = JSON.parse(await readFile(FIXTURE, "utf8")) as Fixture;
    const [train, test] = [await fashion(data, "train"), await fashion(data, "t10k")];
    const lines = renderLines({ seed: 7, count: quick ? 40 : 200 });
    const characters = dictionary();
    const inSession = async <T>(file: string, use: (session: Awaited<ReturnType<typeof open>>) => Promise<T>) => {
      const session = await open(file);
      try {
        return await use(session);
      } finally {
        await session.close();
      }
    };
    const open = (file: string) => ort().prepareFile(file, { signal });
    const read = (file: string) =>
      inSession(file, async (session) => {
        const texts: string[] = [];
        for (const { image } of lines)
          texts.push(await readLine((i) => session.run(i, { signal }), image, characters, session.inputs[0]!.name));
        return texts;
      });
    const truth = await read(models.recognition());
    const recognition = (l: Line) => ({ x: recognitionInput(l.image) });
    const subjects: readonly Subject[] = [
      {
        name: "vit",
        file: join(data, "models", "vit.onnx"),
        samples: someImages(train, 500, 1),
        score: (file) => inSession(file, (session) => accuracy(session, test, signal, quick ? 1000 : undefined)),
      },
      {
        name: "ocr",
        file: models.recognition(),
        samples: samplesFrom(renderLines({ seed: 8, count: 32 }).map(recognition)),
        score: async (file) => (await read(file)).filter((t, i) => t === truth[i]).length,
      },
    ];
    const folder = await mkdtemp(join(tmpdir(), "pare-int4-"));
    try {
      const cases = [];
      for (const { name, file, samples, score } of subjects) {
        const recorded = peers[name];
        const peerScore = Math.max(...recorded.map((r) => r.score));
        const peerBytes = Math.min(...recorded.map((r) => r.bytes));
        progress(name);
        const source = await openOnnx(file);
        try {
          const { model } = await run(passes, source.model, { runtime: ort(), samples, gather, signal });
          const out = join(folder, "out.onnx");
          const { files } = await writeOnnx(model, out, { target: ortX64, decodeWeights: "load", signal });
          cases.push({ name, score: await score(out), bytes: files[0]!.byteLength, peerScore, peerBytes });
        } finally {
          await source.close();
        }
      }
      return {
        figures: {
          worstScoreGain: Math.min(...cases.map((c) => c.score - c.peerScore)),
          worstBytesShare: Math.max(...cases.map((c) => c.bytes / c.peerBytes)),
        },
        cases,
        notes: [
          "Scores: percent of test images; lines of 200 read as the float model reads them.",
          `Peer: onnxruntime ${onnxruntime}, MatMulNBitsQuantizer after quant_pre_process, blocks of 16 to 128, symmetric and not: the best score and the least bytes of all eight.`,
        ],
      };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};
