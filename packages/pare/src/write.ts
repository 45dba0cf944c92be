import {
  type Artifact,
  type Dim,
  type ExportContext,
  type FileSink,
  failure,
  type Model,
  type Samples,
} from "@pare/core";
import { type OnnxWriteOptions, writeOnnx } from "@pare/onnx";
import { type TfliteWriteOptions, writeTflite } from "@pare/tflite";
import { firstOf } from "./latency.ts";

/** Writes a model to a path or a sink. */
export type Write = (model: Model, to: string | FileSink, context: ExportContext) => Promise<Artifact>;

/** How a model is written in a format. */
export const writerOf =
  (how: { readonly onnx: OnnxWriteOptions } | { readonly tflite: TfliteWriteOptions }): Write =>
  (model, to, context) =>
    "tflite" in how
      ? writeTflite(model, to, { ...how.tflite, ...context })
      : writeOnnx(model, to, { ...how.onnx, ...context });

/** What of a compression says which shapes a file of TFLite has. */
interface ShapeOptions {
  readonly tflite?: TfliteWriteOptions;
  readonly shapes?: ReadonlyMap<string, readonly number[]>;
  readonly samples?: Samples;
  readonly signal?: AbortSignal;
}

/**
 * The options with a shape for each input that the model leaves open: the one that is given, else that of the first sample.
 * @throws PareError `pare/shapes` where neither says it
 */
export async function fixedShapes(model: Model, options: ShapeOptions): Promise<TfliteWriteOptions> {
  const { tflite = {}, shapes = new Map<string, readonly number[]>(), samples, signal } = options;
  const known = new Map([...shapes, ...Object.entries(tflite.shapes ?? {})]);
  const isOpen = (dims: readonly Dim[] | undefined) => !dims?.every((d) => typeof d === "number");
  const open = model.graph.inputs.filter(
    ({ name, type }) => type?.kind === "tensor" && isOpen(type.shape) && !known.has(name),
  );
  if (open.length > 0) {
    const first = samples && (await firstOf(samples, signal));
    for (const { name } of open) {
      const shape = first?.[name]?.shape;
      if (!shape)
        throw failure("pare/shapes", `the shape of the input ${name} is open, and shapes of TFLite are fixed`, {
          hint: `Say it: --shape ${name}=1,3,224,224, or give samples.`,
        });
      known.set(name, shape);
    }
  }
  return { ...tflite, shapes: Object.fromEntries(known) };
}
