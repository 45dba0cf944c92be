import {
  byteLengthOf,
  dataOf,
  elementCount,
  isPareError,
  type PrepareOptions,
  type ResidentTensor,
  type SessionRunOptions,
  tensor,
  type ValueInfo,
  type Values,
} from "@pare/core";
import { checkInputs, type Feeds, latencyOf, type MeasureOptions } from "@pare/core/session";
import { turns } from "@pare/io/turns";
import type { TfliteModel } from "@pare/tflite";
import { at, fail } from "./codes.ts";
import type { Engine, EngineOptions, ModelLocation, WireSignature, WireTensor } from "./engine.ts";
import type { LitertSession } from "./options.ts";
import type { Compiled, Program } from "./program.ts";
import { answerName, askingShapes, isOpen, withShapes, ZERO } from "./shapes.ts";

export interface SessionParts {
  readonly start: () => Engine;
  readonly program: Program;
  /** Puts a model where the engine finds it. */
  readonly store: (model: TfliteModel, signal: AbortSignal) => Promise<ModelLocation>;
  readonly engineOptions: EngineOptions;
  readonly options: PrepareOptions;
  /** Called once, when the session is closed or could not be opened. */
  readonly dispose: () => Promise<void>;
}

/** Copies of a model for different shapes that stay open. */
const KEPT = 4;

interface Variant {
  readonly id: string;
  readonly compiled: Compiled;
  readonly signature: WireSignature;
}

/** Opens a session. When that fails or is aborted nothing is left of it. */
export async function openSession(parts: SessionParts): Promise<LitertSession> {
  const { program, engineOptions, options } = parts;
  const { inputs, outputs } = program;
  const taps = [...new Set(options.taps ?? [])].filter((name) => !outputs.some((o) => o.name === name));
  const carry = new Map(Object.entries(options.state ?? {}));
  const state = new Map(Object.entries(options.initialState ?? {}));
  const turn = turns("litert/timeout");
  const places = new Map<string, Promise<{ readonly compiled: Compiled; readonly location: ModelLocation }>>();
  let variants = new Map<string, Variant>();
  let engine: Engine | undefined;
  let count = 0;
  let closing: Promise<void> | undefined;

  const end = async () => engine?.kill();
  const closed = () => fail("litert/closed", "the session is closed");
  const alive = (): Engine => {
    if (closing) throw closed();
    if (!engine?.alive()) {
      engine = parts.start();
      variants = new Map();
    }
    return engine;
  };
  const open = async (compiled: Compiled, location: ModelLocation): Promise<Variant> => {
    const id = `m${count++}`;
    const signature = (await alive().open(id, location, engineOptions))[compiled.entry.index];
    if (!signature) throw fail("litert/signature", "LiteRT does not show the signature that the file has");
    return { id, compiled, signature };
  };
  const place = async (feeds: Feeds, stop: AbortSignal) => {
    const compiled = await program.forInputs(feeds, stop);
    const { model, entry, path } = compiled;
    if (!isOpen(model, entry))
      return { compiled, location: path === undefined ? await parts.store(model, stop) : { path } };
    const shapes = entry.inputs.map(({ name }) => feeds.get(name)!.shape);
    const asking: Compiled = { model: askingShapes(model, entry, shapes), entry };
    const probe = await open(asking, await parts.store(asking.model, stop));
    const zero = tensor("int32", [1], [0]);
    const inputs = ordered(probe, new Map([...feeds, [ZERO, zero]]));
    const answers = await alive().run({ id: probe.id, signature: entry.index, inputs });
    await alive().release(probe.id);
    const names = probe.signature.outputs.map((o) => o.name);
    const shapeOf = (i: number): readonly number[] => {
      const t = answers[names.indexOf(answerName(i))]!;
      return Array.from(dataOf(tensor("int32", t.shape, t.bytes)));
    };
    const whole = withShapes(
      model,
      entry,
      shapes,
      entry.outputs.map((_, i) => shapeOf(i)),
    );
    return { compiled: { model: whole, entry }, location: await parts.store(whole, stop) };
  };
  /** The copy for inputs of these shapes, open. */
  const variant = async (feeds: Feeds, stop: AbortSignal): Promise<Variant> => {
    alive();
    const key = inputs.map(({ name }) => `${feeds.get(name)?.shape}`).join(";");
    const known = variants.get(key);
    if (known) return known;
    const placed = places.get(key) ?? place(feeds, stop);
    places.set(key, placed);
    placed.catch(() => places.delete(key));
    const { compiled, location } = await placed;
    stop.throwIfAborted();
    for (const [old, v] of [...variants].slice(0, Math.max(0, variants.size + 1 - KEPT))) {
      variants.delete(old);
      await alive().release(v.id);
    }
    const made = await open(compiled, location);
    variants.set(key, made);
    return made;
  };

  /** LiteRT takes models that it cannot prepare, and says so in the first run: a model that it refuses is refused here. */
  const tryOut = async (v: Variant, feeds: Feeds): Promise<void> => {
    const { model, entry } = v.compiled;
    if (model.graphs.some((g) => g.operators.some((op) => op.code.builtin === "VAR_HANDLE"))) return;
    try {
      await alive().run({ id: v.id, signature: entry.index, inputs: ordered(v, feeds) });
    } catch (error) {
      // What fails for zeros only is no fault of the model.
      const message = isPareError(error) ? (error.diagnostics[0]?.message ?? "") : "";
      if (/failed to prepare|Failed to allocate/.test(message))
        throw fail("litert/refused", message.replace("LiteRT failed", "LiteRT refuses the model"));
      if (!isPareError(error) || error.code !== "litert/failed") throw error;
    }
  };

  const withState = (given: Values): Feeds => {
    if (closing) throw closed();
    return checkInputs(
      inputs,
      (name) => state.has(name),
      { ...Object.fromEntries([...state].filter(([name]) => !Object.hasOwn(given, name))), ...given },
      "litert/input",
    );
  };
  const wanted = (names: readonly string[] | undefined): ReadonlySet<string> => {
    const all = [...outputs.map((o) => o.name), ...taps];
    for (const name of names ?? [])
      if (!all.includes(name)) throw fail("litert/output", "this is no output and was not tapped", at(name));
    return new Set(names ?? all);
  };
  const compute = async (feeds: Feeds, stop: AbortSignal): Promise<Map<string, ResidentTensor>> => {
    const v = await variant(feeds, stop);
    const { entry } = v.compiled;
    const results = await alive().run({ id: v.id, signature: entry.index, inputs: ordered(v, feeds) });
    const byName = new Map(results.map((t, i) => [v.signature.outputs[i]!.name, t]));
    return new Map(
      entry.outputs.map(({ name }, i): [string, ResidentTensor] => {
        const t = byName.get(name) ?? results[i]!;
        return [name, tensor(t.dtype, t.shape, t.bytes)];
      }),
    );
  };
  /** A rejection that the closing of the session caused says so. */
  const settled = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      throw closing ? closed() : error;
    }
  };
  const close = async () => {
    await end();
    // What was waiting learns that the session is closed.
    await turn(async () => {}, { end });
    await parts.dispose();
  };
  const patience = (o: { readonly signal?: AbortSignal; readonly timeout?: number }) => ({ ...o, end });

  try {
    checkState(carry, inputs, outputs);
    await turn(
      async (stop) => {
        const feeds = zeros(inputs);
        if (feeds) await tryOut(await variant(feeds, stop), feeds);
        else alive();
      },
      { signal: options.signal, end },
    );
  } catch (error) {
    await close();
    throw error;
  }

  return {
    inputs,
    outputs,
    async run(given, o: SessionRunOptions = {}) {
      const names = wanted(o.outputs);
      const work = turn(async (stop) => {
        // In its turn: the runs before it move the state.
        const results = await compute(withState(given), stop);
        for (const [output, input] of carry) state.set(input, results.get(output)!);
        return Object.fromEntries([...results].filter(([name]) => names.has(name)));
      }, patience(o));
      return settled(work);
    },
    async measure(given, o: MeasureOptions = {}) {
      const { runs = 20, warmup = 3 } = o;
      if (!(runs >= 1)) throw fail("litert/input", "at least one run must be measured");
      const work = turn(async (stop) => {
        const feeds = withState(given);
        const v = await variant(feeds, stop);
        const request = { id: v.id, signature: v.compiled.entry.index, inputs: ordered(v, feeds), runs, warmup };
        return alive().measure(request);
      }, patience(o));
      return latencyOf(await settled(work));
    },
    get pid() {
      return engine?.alive() ? engine.pid : undefined;
    },
    close: () => (closing ??= close()),
  };
}

/** What is fed, in the order in which the engine takes it. */
const ordered = ({ signature, compiled }: Variant, feeds: Feeds): WireTensor[] =>
  signature.inputs.map(({ name }, i) => {
    const t = feeds.get(name) ?? feeds.get(compiled.entry.inputs[i]!.name)!;
    return { dtype: t.dtype, shape: t.shape, bytes: t.bytes };
  });

/** Zeros for inputs of known shapes; undefined where a shape is open. */
function zeros(inputs: readonly ValueInfo[]): Feeds | undefined {
  const feeds = new Map<string, ResidentTensor>();
  for (const { name, type } of inputs) {
    if (type?.kind !== "tensor" || !type.shape?.every((d) => typeof d === "number")) return undefined;
    const shape = type.shape as readonly number[];
    feeds.set(name, tensor(type.dtype, shape, new Uint8Array(byteLengthOf(type.dtype, elementCount(shape)))));
  }
  return feeds;
}

function checkState(
  carry: ReadonlyMap<string, string>,
  inputs: readonly ValueInfo[],
  outputs: readonly ValueInfo[],
): void {
  for (const [output, input] of carry) {
    const to = inputs.find((i) => i.name === input);
    const from = outputs.find((o) => o.name === output);
    if (!from) throw fail("litert/state", "state comes from outputs, and the model has no such output", at(output));
    if (!to) throw fail("litert/state", "state goes to inputs, and the model has no such input", at(input));
    if (from.type?.kind === "tensor" && to.type?.kind === "tensor" && from.type.dtype !== to.type.dtype)
      throw fail(
        "litert/state",
        `the input takes ${to.type.dtype}, but the output ${output} is ${from.type.dtype}`,
        at(input),
      );
  }
}
