import {
  type Artifact,
  type Diagnostic,
  type Dim,
  type ExportContext,
  type FileSink,
  failure,
  isPareError,
  type Model,
  problem,
  type Samples,
} from "@pare/core";
import { type OnnxWriteOptions, writeOnnx } from "@pare/onnx";
import { hasOpenBatch, lowerToTflite, type TfliteWriteOptions, writeTflite } from "@pare/tflite";
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
 * The options with a shape for each input that the model leaves open: the one that is given, else that of the first sample. A
 * batch stays open where it can; where it cannot a warning says why.
 * @throws PareError `pare/shapes` where neither says it
 */
export async function fixedShapes(
  model: Model,
  options: ShapeOptions,
): Promise<{ readonly tflite: TfliteWriteOptions; readonly diagnostics: readonly Diagnostic[] }> {
  const { tflite = {}, shapes = new Map<string, readonly number[]>(), samples, signal } = options;
  const known = new Map([...shapes, ...Object.entries(tflite.shapes ?? {})]);
  const given = { ...tflite, shapes: Object.fromEntries(known) };
  const diagnostics: Diagnostic[] = [];
  if (hasOpenBatch(model, given)) {
    const why = whyFixed(model, given);
    if (!why) return { tflite: given, diagnostics };
    diagnostics.push(
      problem("pare/fixed-batch", `the batch is fixed: ${why.message}`, {
        severity: "warning",
        hint: "Give samples of the batch that it is for; without, it is 1.",
      }),
    );
    for (const { name, type } of model.graph.inputs)
      if (type?.kind === "tensor" && !known.has(name) && !samples)
        known.set(
          name,
          (type.shape ?? []).map((d) => (typeof d === "number" ? d : 1)),
        );
  }
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
  return { tflite: { ...tflite, shapes: Object.fromEntries(known) }, diagnostics };
}

/** What keeps the batch from staying open; other reasons not to write the model are for the writer to say. */
function whyFixed(model: Model, options: TfliteWriteOptions): Diagnostic | undefined {
  try {
    lowerToTflite(model, options);
    return undefined;
  } catch (error) {
    if (!isPareError(error)) throw error;
    return error.diagnostics.find((d) => d.code === "tflite/open-batch");
  }
}
