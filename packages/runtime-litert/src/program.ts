import type { Model, ResidentTensor, ValueInfo } from "@pare/core";
import { fromCore, isTflite, type TfliteEnd, type TfliteGraph, type TfliteModel, tensorIndexOf } from "@pare/tflite";
import { fail } from "./codes.ts";
import { type Entry, entryOf, infoOf, tapAt, withOutputs } from "./entry.ts";

/** What a session runs: a model that is TFLite's already, or becomes it for the shapes of its inputs. */
export interface Program {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /** The model that takes these inputs, and where to enter it. Called once for each combination of shapes. */
  forInputs(feeds: ReadonlyMap<string, ResidentTensor>, signal: AbortSignal): Promise<Compiled>;
}

export interface Compiled {
  readonly model: TfliteModel;
  readonly entry: Entry;
  /** The file that holds just that model, if there is one. */
  readonly path?: string;
}

export interface ProgramOptions {
  /** Key of the signature to enter by. */
  readonly signature?: string | undefined;
  /** The file that holds just the model. */
  readonly path?: string;
  /** Inner values to give besides the outputs, given the graph that is entered. */
  readonly taps?: (graph: TfliteGraph) => readonly TfliteEnd[];
}

/** A TFLite model as it is. */
export function tfliteProgram(read: TfliteModel, { signature, path, taps }: ProgramOptions): Program {
  const entry = entryOf(read, signature);
  const graph = read.graphs[entry.graph]!;
  const names = new Set(entry.outputs.map((o) => o.name));
  const added = (taps?.(graph) ?? []).filter((t) => !names.has(t.name));
  const outputs = [...entry.outputs, ...added];
  const compiled: Compiled =
    added.length > 0
      ? { model: withOutputs(read, entry, outputs), entry: { ...entry, outputs } }
      : { model: read, entry, ...(path === undefined ? {} : { path }) };
  return {
    inputs: entry.inputs.map((end) => infoOf(graph, end)),
    outputs: entry.outputs.map((end) => infoOf(graph, end)),
    forInputs: async () => compiled,
  };
}

/**
 * A model of Pare's: one that was read from TFLite, as it was.
 * @throws PareError `litert/refused` for others
 */
export function modelProgram(model: Model, taps: readonly string[], signature?: string): Program {
  if (!isTflite(model))
    throw fail("litert/refused", "the model is none of TFLite's", {
      hint: "Write it as TFLite, and prepare the file.",
    });
  return tfliteProgram(fromCore(model), {
    signature,
    taps: () => taps.map((name) => tapAt(name, tensorIndexOf(model, name))),
  });
}
