import type { Model, ResidentTensor, ValueInfo } from "@pare/core";
import { fromCore, isTflite, type TfliteModel } from "@pare/tflite";
import { fail } from "./codes.ts";
import { type Entry, entryOf, infoOf, withTaps } from "./entry.ts";

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

/** A TFLite model as it is. */
export function tfliteProgram(read: TfliteModel, taps: readonly string[], signature?: string, path?: string): Program {
  const entry = entryOf(read, signature);
  const model = taps.length > 0 ? withTaps(read, entry, taps) : read;
  const tapped = taps.length > 0 ? entryOf(model, signature) : entry;
  const graph = model.graphs[entry.graph]!;
  const compiled: Compiled = {
    model,
    entry: tapped,
    ...(path === undefined || taps.length > 0 ? {} : { path }),
  };
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
  if (isTflite(model)) return tfliteProgram(fromCore(model), taps, signature);
  throw fail("litert/refused", "the model is none of TFLite's", { hint: "Write it as TFLite, and prepare the file." });
}
