import { mkdtemp, open, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataOf, elementsOf, graph, type Model, model, node, resident, type Tensor, value } from "@pare/core";
import { openOnnx, writeOnnx } from "@pare/onnx";
import type { Benchmark } from "../benchmark.ts";
import { median, pareCommand, runScript } from "../command.ts";
import { noiseTensor } from "./vgg16-model.ts";

const LAYERS = 64;

/** A chain of matrix multiplications with weights of `width` x `width`. */
function chain(width: number): Model {
  const names = Array.from({ length: LAYERS }, (_, i) => `layer${i}`);
  return model(
    graph({
      name: "chain",
      inputs: [value("x", "float32", ["N", width])],
      outputs: [value("layer63_out", "float32", ["N", width])],
      nodes: names.map((n, i) =>
        node("MatMul", [i === 0 ? "x" : `layer${i - 1}_out`, `${n}_weight`], [`${n}_out`], {}, { name: n }),
      ),
      weights: new Map(names.map((n, i) => [`${n}_weight`, noiseTensor([width, width], width ** -0.5, i + 1)])),
    }),
  );
}

export const bigModel: Benchmark = {
  name: "big-model",
  about: "int8 weights of a 4 GiB model: time against a copy, peak memory",
  async run({ quick, progress, signal }) {
    const width = quick ? 1024 : 4096;
    const folder = await mkdtemp(join(tmpdir(), "pare-big-"));
    try {
      const source = join(folder, "big.onnx");
      progress(`writing ${(LAYERS * width * width * 4) / 2 ** 30} GiB of random weights`);
      await writeOnnx(chain(width), source, { externalData: true, signal });
      const cases: { name: string; seconds: number; copySeconds: number; ratio: number; peakMB: number }[] = [];
      for (let round = 1; round <= 3; round++) {
        progress(`round ${round} of 3: copy`);
        const copySeconds = await copy([source, `${source}.data`], folder, signal);
        progress(`round ${round} of 3: pare compress --int8-weights`);
        const out = join(folder, "small.onnx");
        const ran = await runScript(
          pareCommand(),
          ["compress", source, "--int8-weights", "--no-verify", "-o", out, "--quiet"],
          signal,
        );
        cases.push({
          name: `round ${round}`,
          seconds: ran.seconds,
          copySeconds,
          ratio: ran.seconds / copySeconds,
          peakMB: ran.peakMB,
        });
        if (round < 3) await Promise.all([rm(out), rm(`${out}.data`, { force: true })]);
      }
      progress("checking the result against its source");
      const bytes = await size(join(folder, "small.onnx"));
      const worst = await check(source, join(folder, "small.onnx"), signal);
      const pick = (key: "seconds" | "copySeconds") => median(cases.map((c) => c[key]));
      return {
        figures: {
          peakMB: Math.max(...cases.map((c) => c.peakMB)),
          seconds: pick("seconds"),
          copySeconds: pick("copySeconds"),
          bytes,
          worstErrorInSteps: worst,
        },
        cases,
        notes: [`Each weight of the result lies within ${worst.toFixed(4)} of a quantization step of its source.`],
      };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};

/** Reads, writes and syncs files as a plain copy would; gives the seconds. */
async function copy(files: readonly string[], folder: string, signal: AbortSignal): Promise<number> {
  const started = performance.now();
  const copies = files.map((_, i) => join(folder, `copy${i}`));
  const buffer = Buffer.allocUnsafe(4 << 20);
  for (const [i, file] of files.entries()) {
    const from = await open(file);
    const to = await open(copies[i]!, "w");
    for (let n = 1; n > 0; ) {
      signal.throwIfAborted();
      n = (await from.read(buffer, 0, buffer.length)).bytesRead;
      if (n > 0) await to.write(buffer, 0, n);
    }
    await to.sync();
    await Promise.all([from.close(), to.close()]);
  }
  const seconds = (performance.now() - started) / 1000;
  await Promise.all(copies.map((file) => rm(file)));
  return seconds;
}

async function size(path: string): Promise<number> {
  const sizes = await Promise.all(
    [path, `${path}.data`].map((p) =>
      stat(p).then(
        (s) => s.size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((a, b) => a + b, 0);
}

/** The largest distance of a decoded weight from its source, in steps of its scale: at most half a step. */
async function check(source: string, result: string, signal: AbortSignal): Promise<number> {
  const [a, b] = await Promise.all([openOnnx(source), openOnnx(result)]);
  let worst = 0;
  try {
    for (let i = 0; i < LAYERS; i++) {
      const name = `layer${i}_weight`;
      const original = a.model.graph.weights.get(name) as Tensor<"float32">;
      const decoder = b.model.graph.nodes.find((n) => n.outputs[0] === name)!;
      const codes = b.model.graph.weights.get(decoder.inputs[0]!) as Tensor<"int8">;
      const scales = dataOf(await resident(b.model.graph.weights.get(decoder.inputs[1]!) as Tensor<"float32">));
      const coded = elementsOf(codes, signal);
      for await (const { data, start } of elementsOf(original, signal)) {
        const { data: q } = (await coded.next()).value as { data: Int8Array };
        for (let k = 0; k < data.length; k++) {
          const s = scales[(start + k) % scales.length]!;
          worst = Math.max(worst, Math.abs(data[k]! - q[k]! * s) / s);
        }
      }
    }
  } finally {
    await Promise.all([a.close(), b.close()]);
  }
  return worst;
}
