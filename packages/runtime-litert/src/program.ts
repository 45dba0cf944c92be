import { edit, type Model, type ResidentTensor, type ValueInfo, viewOf } from "@pare/core";
import {
  fromCore,
  isTflite,
  lowerToTflite,
  type TfliteEnd,
  type TfliteGraph,
  type TfliteModel,
  tensorIndexOf,
} from "@pare/tflite";
import { at, fail } from "./codes.ts";
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

/** Makes a TFLite model of one of Pare's whose inputs have known shapes, with their names in its signature. */
export type Lower = (model: Model, signal: AbortSignal) => TfliteModel | Promise<TfliteModel>;

/**
 * A model of Pare's: one that was read from TFLite as it was, another by `lower`, anew for each combination of input shapes.
 * @throws PareError `litert/tap`
 */
export function modelProgram(
  model: Model,
  taps: readonly string[],
  {
    signature,
    lower = (m) => lowerToTflite(m).model,
  }: { readonly signature?: string | undefined; readonly lower?: Lower | undefined },
): Program {
  if (isTflite(model))
    return tfliteProgram(fromCore(model), {
      signature,
      taps: () => taps.map((name) => tapAt(name, tensorIndexOf(model, name))),
    });
  const { inputs, outputs } = model.graph;
  const tapped = withTaps(model, taps);
  return {
    inputs,
    outputs,
    async forInputs(feeds, signal) {
      const fixed = edit(tapped, (e) => {
        e.setGraph(e.view.main, {
          inputs: inputs.map((v) => {
            const t = feeds.get(v.name);
            return t ? { ...v, type: { kind: "tensor", dtype: t.dtype, shape: t.shape } } : v;
          }),
        });
      });
      const lowered = await lower(fixed, signal);
      return { model: lowered, entry: entryOf(lowered) };
    },
  };
}

/** The model with inner values as further outputs. @throws PareError `litert/tap` */
function withTaps(model: Model, taps: readonly string[]): Model {
  const { main } = viewOf(model);
  const added = [...new Set(taps)].filter((name) => !main.isOutput(name));
  for (const name of added)
    if (main.definer(name) !== main) throw fail("litert/tap", "the main graph has no value of this name", at(name));
  if (added.length === 0) return model;
  return edit(model, (e) => {
    e.setGraph(e.view.main, {
      outputs: [...model.graph.outputs, ...added.map((name) => main.info(name) ?? { name })],
    });
  });
}
