import {
  type Artifact,
  type Diagnostic,
  type ExportContext,
  type Exporter,
  type FileSink,
  isPareError,
  type Model,
  PareError,
  problem,
  type Target,
  verify,
} from "@pare/core";
import { checkFileName, folderSink } from "@pare/io";
import { writeModel } from "./format/files.ts";
import { fromCore, isTflite } from "./format/from-core.ts";
import type { TfliteModel } from "./format/model.ts";
import { arrange, type Remaining } from "./layout/arrange.ts";
import { emit } from "./lower/emit.ts";
import { flattenedLast, simplified, throughout, withoutTransposedFactors } from "./lower/fuse.ts";
import { batchSizes, FixedBatch, withOpenBatch } from "./lower/open-batch.ts";
import { batchShapes, programOf } from "./lower/program-of.ts";

export interface TfliteWriteOptions {
  /** Shapes of inputs that the model leaves open: shapes of a TFLite file are fixed. */
  readonly shapes?: Readonly<Record<string, readonly number[]>> | undefined;
  /** Whether inputs and outputs of four and more dimensions have their channels last. Default: as in the source. */
  readonly nhwc?: boolean;
  /** Element type in which weights are stored; what is computed stays float32. Default `float32`. */
  readonly weights?: "float32" | "float16";
  /** What the file is for. */
  readonly target?: Target;
}

/** A model in TFLite's words, and the transpositions that remain, each with its reason. */
export interface TfliteLowering {
  readonly model: TfliteModel;
  readonly transposes: readonly Remaining[];
}

/**
 * Says a model in the builtin operators of TFLite. A batch that is open, the first dimension of inputs alone, stays so.
 * @throws PareError with everything that cannot be said: `tflite/refused` with node and reason, `tflite/open-shape`,
 * `tflite/open-batch`, `tflite/input`
 */
export function lowerToTflite(source: Model, options: TfliteWriteOptions = {}): TfliteLowering {
  if (isTflite(source)) return { model: fromCore(source), transposes: [] };
  const [small, large] = batchSizes.map((batch) => batchShapes(source, options, batch));
  if (!small || !large) return lowerFixed(source, options);
  const at = (shapes: TfliteWriteOptions["shapes"]) => lowerFixed(source, { ...options, shapes }, true);
  const lowered = at(small);
  try {
    const model = withOpenBatch(lowered.model, at(large).model);
    return { model, transposes: lowered.transposes.map((t) => ({ ...t, elements: t.elements / batchSizes[0] })) };
  } catch (error) {
    if (!(error instanceof FixedBatch)) throw error;
    const fixed = batchShapes(source, options, 1);
    throw new PareError([
      problem("tflite/open-batch", `the batch cannot stay open: ${error.message}`, {
        location: { value: error.value },
        hint: `Fix it: shapes: ${JSON.stringify(fixed)}.`,
      }),
    ]);
  }
}

/** Whether all that is open of the shapes of inputs is their batch, the first dimension. */
export const hasOpenBatch = (model: Model, options: TfliteWriteOptions = {}): boolean =>
  !isTflite(model) && batchShapes(model, options, 1) !== undefined;

function lowerFixed(source: Model, options: TfliteWriteOptions, openBatch = false): TfliteLowering {
  const { program, sink, problems } = programOf(source, { ...options, openBatch });
  if (problems.length > 0) throw new PareError(problems);
  const fused = throughout(program, (p) => simplified(flattenedLast(withoutTransposedFactors(p), sink)));
  const arranged = arrange(fused, sink, options.nhwc ?? false);
  const model = emit(arranged, { weights: options.weights ?? "float32" });
  return { model, transposes: arranged.transposes };
}

/** Writes TFLite models: one file. The result is deterministic. */
export const tfliteExporter: Exporter<TfliteWriteOptions> = {
  format: "tflite",
  extensions: [".tflite"],
  check: (model, options = {}) => {
    const problems: Diagnostic[] = verify(model).filter((d) => d.code !== "core/no-opset");
    try {
      if (problems.length === 0) lowerToTflite(model, options);
      return problems;
    } catch (error) {
      if (!isPareError(error)) throw error;
      return [...problems, ...error.diagnostics];
    }
  },
  async export(model, sink, name, options: TfliteWriteOptions & ExportContext = {}) {
    let lowered: TfliteLowering;
    const file = checkFileName(name);
    try {
      options.signal?.throwIfAborted();
      lowered = lowerToTflite(model, options);
    } catch (error) {
      await sink.abort();
      throw error;
    }
    const { signal, onProgress } = options;
    const { byteLength } = await writeModel(lowered.model, sink, file, {
      ...(signal ? { signal } : {}),
      ...(onProgress ? { onProgress } : {}),
    });
    const diagnostics = lowered.transposes.map(({ reason, value }) =>
      problem("tflite/transpose", reason, { severity: "info", location: { value: value.name } }),
    );
    return {
      format: "tflite",
      files: [{ name: file, byteLength }],
      diagnostics: [...diagnostics, ...emptyEnds(lowered.model)],
    };
  },
};

/** Warnings of inputs and outputs without elements. */
function emptyEnds({ graphs, signatures }: TfliteModel): Diagnostic[] {
  const [graph, signature] = [graphs[0]!, signatures[0]];
  const ends = [...(signature?.inputs ?? []), ...(signature?.outputs ?? [])];
  return ends
    .filter(({ tensor }) => graph.tensors[tensor]!.shape.includes(0))
    .map(({ name }) =>
      problem("tflite/no-elements", `${name} has no elements: LiteRT cannot hold it, only TFLite's interpreter can`, {
        severity: "warning",
        location: { value: name },
        hint: "Leave it out of the model.",
      }),
    );
}

/**
 * Writes a model as TFLite: to a path, or as `model.tflite` to a sink. The old file stays until the new one is complete.
 * @throws PareError with all that keeps the model from being written, before a byte is
 */
export async function writeTflite(
  model: Model,
  to: string | URL | FileSink,
  options: TfliteWriteOptions & ExportContext & { readonly name?: string } = {},
): Promise<Artifact> {
  if (typeof to === "object" && !(to instanceof URL))
    return tfliteExporter.export(model, to, options.name ?? "model.tflite", options);
  const path = String(to);
  const cut = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1;
  const name = path.slice(cut);
  return tfliteExporter.export(
    model,
    folderSink(to instanceof URL ? new URL(".", to) : path.slice(0, cut) || "."),
    to instanceof URL ? decodeURIComponent(name) : name,
    options,
  );
}
