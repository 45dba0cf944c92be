import {
  type Artifact,
  type Diagnostic,
  type ExportContext,
  type Exporter,
  type FileSink,
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
import { flattenedLast, simplified, withoutTransposedFactors } from "./lower/fuse.ts";
import { programOf } from "./lower/program-of.ts";

export interface TfliteWriteOptions {
  /** Shapes of inputs that the model leaves open: shapes of a TFLite file are fixed. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
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
 * Says a model in the builtin operators of TFLite.
 * @throws PareError with everything that cannot be said: `tflite/refused` with node and reason, `tflite/open-shape`,
 * `tflite/input`
 */
export function lowerToTflite(source: Model, options: TfliteWriteOptions = {}): TfliteLowering {
  if (isTflite(source)) return { model: fromCore(source), transposes: [] };
  const { program, sink, problems } = programOf(source, options);
  if (problems.length > 0) throw new PareError(problems);
  const arranged = arrange(
    simplified(flattenedLast(withoutTransposedFactors(program), sink)),
    sink,
    options.nhwc ?? false,
  );
  const model = emit(arranged, { weights: options.weights ?? "float32" });
  return { model, transposes: arranged.transposes };
}

/** Writes TFLite models: one file. The result is deterministic. */
export const tfliteExporter: Exporter<TfliteWriteOptions> = {
  format: "tflite",
  extensions: [".tflite"],
  check: (model, options = {}) => {
    const problems: Diagnostic[] = verify(model).filter((d) => d.code !== "core/no-opset");
    return isTflite(model) ? problems : [...problems, ...programOf(model, options).problems];
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
