import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { failure, type Model, type Samples, type Values } from "@pare/core";
import { openSource } from "@pare/io";
import { decodeImage } from "./decode.ts";
import { completed, type FullPreprocessing, type Preprocessing, preprocess } from "./preprocess.ts";

/** Samples that say how they were made. */
export interface ImageSamples extends Samples {
  readonly preprocessing: FullPreprocessing;
}

export const isImageSamples = (samples: Samples | undefined): samples is ImageSamples =>
  samples !== undefined && "preprocessing" in samples;

const IMAGE = /\.(png|jpe?g)$/i;

/** Whether the folder holds images, at any depth. */
export const imagesIn = async (folder: string): Promise<string[]> =>
  (await readdir(folder, { recursive: true })).filter((f) => IMAGE.test(f)).sort();

/**
 * The PNG and JPEG images of a folder and those inside it, by name, each decoded when its turn comes. What is not said of the
 * preprocessing is taken from the model's input, where it says it.
 * @throws PareError `pare/samples` when there is no image or the model has several inputs, `pare/preprocessing`; `pare/image`
 *   from the iteration
 * @example const samples = await images("photos", model, { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] })
 */
export async function images(folder: string, model: Model, how: Partial<Preprocessing> = {}): Promise<ImageSamples> {
  const inputs = model.graph.inputs.filter((v) => !model.graph.weights.has(v.name));
  if (inputs.length !== 1)
    throw failure("pare/samples", `the model has ${inputs.length} inputs; images are for models of one`);
  const files = await imagesIn(folder);
  if (files.length === 0) throw failure("pare/samples", `the folder ${folder} holds no PNG or JPEG image`);
  const preprocessing = completed(how, model);
  const { name } = inputs[0]!;
  return {
    preprocessing,
    count: files.length,
    async *open(signal): AsyncGenerator<Values> {
      for (const file of files) {
        const path = join(folder, file);
        const source = await openSource(path, signal ? { signal } : {});
        const bytes = await source.read({ offset: 0, length: source.byteLength }, signal).finally(() => source.close());
        yield { [name]: preprocess(decodeImage(bytes, path), preprocessing) };
      }
    },
  };
}
