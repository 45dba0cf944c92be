import {
  constantNodeValue,
  type Model,
  operatorOf,
  type PrepareOptions,
  type ResidentTensor,
  resident,
  type SessionRunOptions,
  type ValueInfo,
  type Values,
  viewOf,
  type Tensor as Weight,
} from "@pare/core";
import { checkInputs, checkState, type Feeds, latencyOf, type MeasureOptions } from "@pare/core/session";
import { turns } from "@pare/io/turns";
import { at, fail } from "./codes.ts";
import { type Engine, onBackend } from "./engine.ts";
import { gradientsOf } from "./gradients.ts";
import { fits, free, type Held, held, heldWeight, onDevice } from "./held.ts";
import { interpret, type Run } from "./interpret.ts";
import type { TfjsSession } from "./options.ts";
import { check, dtypesOf, specialised } from "./program.ts";
import { finish } from "./steps.ts";

/** Weights of more bytes are only on the engine's side. */
const KEPT_BYTES = 65536;
/** Forms of the model for shapes of its inputs that are kept. */
const MOST_VARIANTS = 4;

/** Opens a session. @throws PareError as {@link check} says, and `tfjs/tap`, `tfjs/state` */
export async function openSession(engine: Engine, model: Model, options: PrepareOptions): Promise<TfjsSession> {
  const { signal } = options;
  signal?.throwIfAborted();
  if ((options.threads ?? 1) > 1)
    throw fail("tfjs/options", "TensorFlow.js cannot be told how many threads to take", { hint: "Leave threads out." });
  check(model);
  const { inputs } = model.graph;
  const dtypeOf = dtypesOf(model);
  const outputs = model.graph.outputs.map((v): ValueInfo => {
    const dtype = v.type ? undefined : dtypeOf(v.name);
    return dtype ? { ...v, type: { kind: "tensor", dtype } } : v;
  });
  const taps = [...new Set(options.taps ?? [])].filter((name) => !outputs.some((v) => v.name === name));
  for (const name of taps)
    if (!viewOf(model).main.producer(name) && !model.graph.weights.has(name) && !inputs.some((v) => v.name === name))
      throw fail("tfjs/tap", "this is no value of the main graph", at(name));
  const carry = new Map(Object.entries(options.state ?? {}));
  checkState(carry, inputs, outputs, "tfjs/state");
  const weights = await weightsOf(model, engine, signal);
  const state = new Map<string, Held>();
  for (const [name, t] of checkInputs(inputs, () => true, options.initialState ?? {}, "tfjs/state"))
    state.set(name, held(t));

  const evaluated = new Set<string>();
  const functions = new Map(model.functions.map((f) => [operatorOf({ domain: f.domain, op: f.name }), f]));
  const variants = new Map<string, { readonly model: Model; readonly types: Run["types"] }>();
  const turn = turns("tfjs/timeout");
  let closing: Promise<void> | undefined;
  const closed = () => fail("tfjs/closed", "the session is closed");

  /** The form of the model for these shapes, with its weights at hand. */
  const variantFor = async (feeds: Feeds, stop: AbortSignal) => {
    const shapes = new Map<string, readonly number[]>([...state].map(([name, v]) => [name, v.shape]));
    for (const [name, t] of feeds) shapes.set(name, t.shape);
    const key = [...shapes].map(([name, shape]) => `${name} [${shape}]`).join(" ");
    const known = variants.get(key);
    if (known) return known;
    const made = { model: specialised(model, shapes), types: new Map() };
    for (const [t, v] of await weightsOf(made.model, engine, stop, weights)) weights.set(t, v);
    for (const old of [...variants.keys()].slice(0, variants.size - MOST_VARIANTS + 1)) variants.delete(old);
    variants.set(key, made);
    return made;
  };

  const values = (feeds: Feeds): Map<string, Held> => {
    const all = new Map(state);
    for (const [name, t] of feeds) all.set(name, held(t));
    onBackend(engine, () => {
      for (const v of all.values()) if (!v.device && fits(v.host!, engine)) onDevice(engine, v);
    });
    return all;
  };
  const runOf = (types: Run["types"], watched: boolean): Run => ({
    engine,
    functions,
    weights,
    types,
    watched,
    alive: new Set(),
    onEvaluated: (operator) => evaluated.add(operator),
  });

  const compute = async (feeds: Feeds, wanted: readonly string[], moves: boolean, stop: AbortSignal) => {
    stop.throwIfAborted();
    const variant = await variantFor(feeds, stop);
    const run = runOf(variant.types, false);
    const given = values(feeds);
    const carried = new Set(moves ? carry.keys() : []);
    try {
      const results = await finish(engine, interpret(variant.model.graph, run, given, new Set(wanted), carried), stop);
      for (const [output, v] of results.held) {
        const input = carry.get(output)!;
        const before = state.get(input);
        state.set(input, v);
        if (before) free(before);
      }
      return Object.fromEntries(wanted.map((name) => [name, results.read.get(name)!]));
    } finally {
      for (const v of run.alive) free(v);
      for (const name of feeds.keys()) free(given.get(name)!);
    }
  };

  const optional = (name: string) => model.graph.weights.has(name) || state.has(name);
  const checked = (given: Values, wanted?: readonly string[]) => {
    if (closing) throw closed();
    const all = [...outputs.map((v) => v.name), ...taps];
    for (const name of wanted ?? [])
      if (!all.includes(name)) throw fail("tfjs/output", "this is no output and was not tapped", at(name));
    return { feeds: checkInputs(inputs, optional, given, "tfjs/input"), wanted: [...new Set(wanted ?? all)] };
  };
  /** Nothing ends what is computing: it goes on until its node is done. */
  const patience = (o: { readonly signal?: AbortSignal; readonly timeout?: number }) => ({ ...o, end: async () => {} });

  return {
    inputs,
    outputs,
    backend: engine.backend,
    evaluated,
    async run(given, o: SessionRunOptions = {}) {
      const { feeds, wanted } = checked(given, o.outputs);
      return turn((stop) => compute(feeds, wanted, true, stop), patience(o));
    },
    async measure(given, o: MeasureOptions = {}) {
      const { runs = 20, warmup = 3 } = o;
      const { feeds } = checked(given);
      if (!(runs >= 1)) throw fail("tfjs/input", "at least one run must be measured");
      const wanted = outputs.map((v) => v.name);
      return turn(async (stop) => {
        const times: number[] = [];
        for (let i = 0; i < warmup + runs; i++) {
          const start = performance.now();
          await compute(feeds, wanted, false, stop);
          if (i >= warmup) times.push(performance.now() - start);
        }
        return latencyOf(times);
      }, patience(o));
    },
    async gradients(given, o) {
      const { feeds } = checked(given);
      return turn(async (stop) => {
        stop.throwIfAborted();
        const variant = await variantFor(feeds, stop);
        await engine.loadGradients().catch(() => {});
        const run = runOf(variant.types, true);
        const given = values(feeds);
        try {
          return gradientsOf(variant.model, run, given, o);
        } finally {
          for (const v of run.alive) free(v);
          for (const name of feeds.keys()) free(given.get(name)!);
        }
      }, patience(o));
    },
    close() {
      closing ??= turn(async () => {
        for (const v of [...weights.values(), ...state.values()]) free(v);
        weights.clear();
        state.clear();
      }, patience({}));
      return closing;
    },
  };
}

/** The weights and constants of all graphs, large ones on the engine's side only. */
async function weightsOf(
  model: Model,
  engine: Engine,
  signal: AbortSignal | undefined,
  known: ReadonlyMap<Weight, Held> = new Map(),
): Promise<Map<Weight, Held>> {
  const found = new Map<Weight, Held>();
  for (const { graph } of viewOf(model).graphs)
    for (const t of [...graph.weights.values(), ...graph.nodes.flatMap((n) => constantNodeValue(n) ?? [])]) {
      if (known.has(t) || found.has(t)) continue;
      const v = heldWeight(await resident(t, signal));
      found.set(t, v);
      if (v.host!.byteLength <= KEPT_BYTES || !fits(v.host as ResidentTensor, engine)) continue;
      onBackend(engine, () => onDevice(engine, v));
      v.host = undefined;
    }
  return found;
}
