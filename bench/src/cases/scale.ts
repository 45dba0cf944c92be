import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeOnnx } from "@pare/onnx";
import type { BenchCase, Benchmark } from "../benchmark.ts";
import { runScript } from "../command.ts";
import { scaleModel } from "./scale-model.ts";

/** An old opset, so that reading has to upgrade. */
const OPSET = 17;

interface Ran {
  readonly seconds: Readonly<Record<string, number>>;
  readonly total: number;
  readonly nodes: number;
  readonly done: number;
  readonly problems: number;
}

export const scale: Benchmark = {
  name: "scale",
  about: "reading, upgrading, optimizing, verifying and writing graphs of 10,000 and 100,000 nodes",
  async run({ quick, progress, signal }) {
    const folder = await mkdtemp(join(tmpdir(), "pare-scale-"));
    try {
      const cases: BenchCase[] = [];
      for (const count of quick ? [10_000] : [10_000, 100_000]) {
        progress(`${count} nodes`);
        const { model, rewrites } = scaleModel(count);
        const file = join(folder, "model.onnx");
        await writeOnnx(model, file, { opset: OPSET, signal });
        const child = fileURLToPath(new URL("./scale-child.js", import.meta.url));
        const { peakMB, stdout } = await runScript(child, [file, join(folder, "out.onnx")], signal);
        const ran = JSON.parse(stdout) as Ran;
        if (ran.problems > 0) throw new Error(`the result of ${count} nodes is not well formed`);
        cases.push({
          name: `${count} nodes`,
          rewrites,
          done: ran.done,
          nodesLeft: ran.nodes,
          ...ran.seconds,
          seconds: ran.total,
          microsecondsANode: (1e6 * ran.total) / count,
          peakMB,
        });
      }
      const [small, large = small] = cases;
      return {
        figures: {
          seconds10k: Number(small!["seconds"]),
          seconds100k: Number(large!["seconds"]),
          peakMB: Number(large!["peakMB"]),
          growth: Number(large!["microsecondsANode"]) / Number(small!["microsecondsANode"]),
        },
        cases,
        notes: ["growth is time per node at 100,000 nodes over that at 10,000."],
      };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};
