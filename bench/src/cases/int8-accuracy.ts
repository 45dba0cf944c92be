import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Pass, run } from "@pare/core";
import { openOnnx, ortX64, writeOnnx } from "@pare/onnx";
import { gather } from "@pare/ops/observe";
import { optimize } from "@pare/optimize";
import { equalize, int8 } from "@pare/quantize";
import { ort } from "@pare/runtime-ort";
import type { Benchmark } from "../benchmark.ts";
import { accuracy, fashion, networks, someImages } from "../fashion.ts";

/** What ONNX Runtime's and NNCF's quantizers reach, three seeds each; fixtures/README.md says how it was recorded. */
const FIXTURE = new URL("../../fixtures/int8-peers.json", import.meta.url);

interface Peer {
  readonly perChannel: readonly number[];
  readonly perTensor?: readonly number[];
  readonly bytes: number;
}

/** The best that a peer reaches in each discipline, for networks that were recorded. */
function bestOf(peers: Readonly<Record<string, Peer>> | undefined): Record<string, number> {
  const all = Object.values(peers ?? {});
  if (all.length === 0) return {};
  return {
    peerPerChannel: Math.max(...all.flatMap((p) => p.perChannel)),
    peerPerTensor: Math.max(...all.flatMap((p) => p.perTensor ?? [])),
    peerBytes: Math.min(...all.map((p) => p.bytes)),
  };
}

const seeds = [1, 2, 3];
const CALIBRATE = 500;

const versions: readonly { readonly name: "perChannel" | "perTensor"; readonly passes: () => readonly Pass[] }[] = [
  { name: "perChannel", passes: () => [optimize(), equalize(), int8()] },
  { name: "perTensor", passes: () => [optimize(), equalize(), int8({ granularity: "tensor" })] },
];

export const int8Accuracy: Benchmark = {
  name: "int8-accuracy",
  about: "static int8 of classifiers, calibrated with 500 images, on the 10,000 test images",
  async run({ data, quick, progress, signal }) {
    const [train, test] = [await fashion(data, "train"), await fashion(data, "t10k")];
    const peers = JSON.parse(await readFile(FIXTURE, "utf8")) as Record<string, Record<string, Peer>>;
    const count = quick ? 1000 : test.labels.length;
    const folder = await mkdtemp(join(tmpdir(), "pare-int8-"));
    const measure = async (file: string) => {
      const session = await ort().prepareFile(file, { signal });
      try {
        return await accuracy(session, test, signal, count);
      } finally {
        await session.close();
      }
    };
    try {
      const cases = [];
      for (const { name, file } of await networks(data)) {
        const row: Record<string, number> = { float: await measure(file), floatBytes: (await stat(file)).size };
        for (const version of versions)
          for (const seed of quick ? seeds.slice(0, 1) : seeds) {
            progress(`${name}, ${version.name}, seed ${seed}`);
            const source = await openOnnx(file);
            try {
              const samples = someImages(train, CALIBRATE, seed);
              const { model } = await run(version.passes(), source.model, {
                runtime: ort(),
                target: ortX64,
                samples,
                gather,
                signal,
              });
              const out = join(folder, "out.onnx");
              const artifact = await writeOnnx(model, out, { signal });
              const reached = await measure(out);
              row[version.name] = Math.min(row[version.name] ?? 100, reached);
              row[`${version.name}Seed${seed}`] = reached;
              if (version.name === "perChannel")
                row["bytes"] = Math.max(row["bytes"] ?? 0, artifact.files[0]!.byteLength);
            } finally {
              await source.close();
            }
          }
        cases.push({ name, ...row, ...bestOf(peers[name]) });
      }
      const drops = cases.map(
        (c) =>
          (c as unknown as Record<string, number>)["float"]! - (c as unknown as Record<string, number>)["perChannel"]!,
      );
      return {
        figures: { worstDrop: Math.max(...drops) },
        cases,
        notes: [
          "perChannel and perTensor are the worst of the seeds; peers are given with the best of theirs (ONNX Runtime 1.32 min-max, NNCF 3.4 mixed).",
        ],
      };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};
