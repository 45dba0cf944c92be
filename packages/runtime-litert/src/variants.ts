import { byteLengthOf, dataOf, elementCount, isPareError, type ResidentTensor, tensor } from "@pare/core";
import type { Feeds } from "@pare/core/session";
import { dtypeOf, type TfliteModel } from "@pare/tflite";
import { at, fail } from "./codes.ts";
import type { Engine, EngineOptions, ModelLocation, WireSignature, WireTensor } from "./engine.ts";
import { type Entry, withOutputs } from "./entry.ts";
import type { Compiled, Program } from "./program.ts";
import { answerName, askingShapes, isOpen, ranked, withShapes, ZERO } from "./shapes.ts";

const EMPTY = "it has no elements, and LiteRT has no buffers for such values; TFLite's interpreter has";

/** Copies of a model that stay open, and as many shapes that are remembered. */
const KEPT = 4;

/** Where copies of models are for as long as the engine has them. */
export interface ModelStore {
  put(model: TfliteModel, signal: AbortSignal): Promise<ModelLocation>;
  remove(location: ModelLocation): Promise<void>;
}

type Shapes = readonly (readonly number[])[];

export interface VariantParts {
  readonly program: Program;
  readonly store: ModelStore;
  readonly engineOptions: EngineOptions;
  /** The engine that runs, started if there is none. */
  readonly engine: () => Engine;
}

/** A model in the engine that takes inputs of certain shapes and gives certain values. */
interface Variant {
  readonly compiled: Compiled;
  readonly location: ModelLocation;
  /** Whether the location is a copy, and not the file that was given. */
  readonly isCopy: boolean;
  /** As it is open in an engine, which may have ended since. */
  open?: { readonly engine: Engine; readonly id: string; readonly signature: WireSignature };
}

export interface Variants {
  /** Runs the model for these inputs and gives the values of these names. */
  run(feeds: Feeds, names: readonly string[], stop: AbortSignal): Promise<Map<string, ResidentTensor>>;
  measure(feeds: Feeds, names: readonly string[], runs: number, warmup: number, stop: AbortSignal): Promise<number[]>;
  /** Runs it once to see whether LiteRT can prepare it. @throws PareError `litert/refused` */
  tryOut(feeds: Feeds, names: readonly string[], stop: AbortSignal): Promise<void>;
  /** Bytes that each output or tap takes for these inputs. */
  sizes(feeds: Feeds, stop: AbortSignal): Promise<ReadonlyMap<string, number>>;
}

/** The copies of a program's model: for each combination of input shapes, and for what is asked of it. */
export function makeVariants({ program, store, engineOptions, engine }: VariantParts): Variants {
  const wholes = new Map<string, Compiled>();
  const variants = new Map<string, Variant>();
  let count = 0;

  const open = async (v: Variant) => {
    const current = engine();
    if (v.open?.engine === current) return v.open;
    const id = `m${count++}`;
    const signature = (await current.open(id, v.location, engineOptions))[v.compiled.entry.index];
    if (!signature) throw fail("litert/signature", "LiteRT does not show the signature that the file has");
    return (v.open = { engine: current, id, signature });
  };
  const release = async (v: Variant): Promise<void> => {
    if (v.open?.engine.alive()) await v.open.engine.release(v.open.id);
    if (v.isCopy) await store.remove(v.location);
  };
  const run = async (v: Variant, feeds: Feeds): Promise<Map<string, ResidentTensor>> => {
    const { engine: current, id, signature } = await open(v);
    const { entry, model } = v.compiled;
    for (const { name, tensor: index } of entry.outputs)
      if (model.graphs[entry.graph]!.tensors[index]!.shape.includes(0)) throw fail("litert/output", EMPTY, at(name));
    const results = await current.run({ id, signature: entry.index, inputs: ordered(v, signature, feeds) });
    const byName = new Map(results.map((t, i) => [signature.outputs[i]!.name, t]));
    return new Map(
      entry.outputs.map(({ name }, i): [string, ResidentTensor] => {
        const t = byName.get(name) ?? results[i]!;
        return [name, tensor(t.dtype, t.shape, t.bytes)];
      }),
    );
  };

  /** The model for inputs of these shapes, with all outputs and taps, and no open dimension. */
  const whole = async (feeds: Feeds, shapes: string, stop: AbortSignal): Promise<Compiled> => {
    const known = wholes.get(shapes);
    if (known) return known;
    const compiled = await program.forInputs(feeds, stop);
    const made = isOpen(compiled.model, compiled.entry) ? await closed(compiled, feeds, stop) : compiled;
    stop.throwIfAborted();
    for (const old of [...wholes.keys()].slice(0, Math.max(0, wholes.size + 1 - KEPT))) wholes.delete(old);
    wholes.set(shapes, made);
    return made;
  };
  /** Asks LiteRT how large the outputs are. */
  const closed = async ({ model, entry }: Compiled, feeds: Feeds, stop: AbortSignal): Promise<Compiled> => {
    const shapes = entry.inputs.map(({ name }) => feeds.get(name)!.shape);
    const asked = ranked(model, entry);
    const answers = asked.length > 0 ? await askedShapes(model, entry, shapes, feeds, stop) : [];
    const found = new Map(asked.map(({ name }, i) => [name, answers[i]!]));
    const outputs = entry.outputs.map(({ name }) => found.get(name) ?? []);
    return { model: withShapes(model, entry, shapes, outputs), entry };
  };
  const askedShapes = async (model: TfliteModel, entry: Entry, shapes: Shapes, feeds: Feeds, stop: AbortSignal) => {
    const asking = askingShapes(model, entry, shapes);
    const outputs = ranked(model, entry).map((_, i) => ({ name: answerName(i), tensor: i }));
    const probe: Variant = {
      compiled: { model: asking, entry: { ...entry, outputs } },
      location: await store.put(asking, stop),
      isCopy: true,
    };
    try {
      const answers = await run(probe, new Map([...feeds, [ZERO, tensor("int32", [1], [0])]]));
      return outputs.map(({ name }) => Array.from(dataOf(answers.get(name) as ResidentTensor<"int32">)));
    } finally {
      await release(probe);
    }
  };
  const variant = async (feeds: Feeds, names: readonly string[], stop: AbortSignal): Promise<Variant> => {
    const shapes = program.inputs.map(({ name }) => `${feeds.get(name)?.shape}`).join(";");
    const key = JSON.stringify([shapes, names]);
    const known = variants.get(key);
    if (known) return known;
    const all = await whole(feeds, shapes, stop);
    const wanted = new Set(names);
    const outputs = all.entry.outputs.filter((o) => wanted.has(o.name));
    const isAll = outputs.length === all.entry.outputs.length;
    const compiled: Compiled = isAll
      ? all
      : { model: withOutputs(all.model, all.entry, outputs), entry: { ...all.entry, outputs } };
    const isCopy = compiled.path === undefined;
    const location = compiled.path === undefined ? await store.put(compiled.model, stop) : { path: compiled.path };
    const made: Variant = { compiled, location, isCopy };
    stop.throwIfAborted();
    for (const [old, v] of [...variants].slice(0, Math.max(0, variants.size + 1 - KEPT))) {
      variants.delete(old);
      await release(v);
    }
    variants.set(key, made);
    return made;
  };

  return {
    run: async (feeds, names, stop) => run(await variant(feeds, names, stop), feeds),
    async measure(feeds, names, runs, warmup, stop) {
      const v = await variant(feeds, names, stop);
      const { engine: current, id, signature } = await open(v);
      const inputs = ordered(v, signature, feeds);
      return current.measure({ id, signature: v.compiled.entry.index, inputs, runs, warmup });
    },
    async tryOut(feeds, names, stop) {
      const v = await variant(feeds, names, stop);
      await open(v);
      // A run would change what the model keeps.
      if (v.compiled.model.graphs.some((g) => g.operators.some((op) => op.code.builtin === "VAR_HANDLE"))) return;
      try {
        await run(v, feeds);
      } catch (error) {
        const message = isPareError(error) ? (error.diagnostics[0]?.message ?? "") : "";
        if (/failed to prepare|Failed to allocate/.test(message))
          throw fail("litert/refused", message.replace("LiteRT failed", "LiteRT refuses the model"));
        // What fails for zeros only is no fault of the model.
        if (!isPareError(error) || error.code !== "litert/failed") throw error;
      }
    },
    async sizes(feeds, stop) {
      const shapes = program.inputs.map(({ name }) => `${feeds.get(name)?.shape}`).join(";");
      const { model, entry } = await whole(feeds, shapes, stop);
      const { tensors } = model.graphs[entry.graph]!;
      return new Map(
        entry.outputs.map(({ name, tensor: index }) => {
          const { type, shape } = tensors[index]!;
          return [name, byteLengthOf(dtypeOf(type) ?? "float32", elementCount(shape))];
        }),
      );
    },
  };
}

/** What is fed, in the order in which the engine takes it. */
const ordered = ({ compiled }: Variant, signature: WireSignature, feeds: Feeds): WireTensor[] =>
  signature.inputs.map(({ name }, i) => {
    const t = feeds.get(name) ?? feeds.get(compiled.entry.inputs[i]!.name)!;
    if (t.bytes.byteLength === 0) throw fail("litert/input", EMPTY, at(name));
    return { dtype: t.dtype, shape: t.shape, bytes: t.bytes };
  });
