import {
  dataOf,
  failure,
  type Model,
  type PrepareOptions,
  type ResidentTensor,
  resident,
  type SessionRunOptions,
  tensor,
  type ValueInfo,
  type Values,
} from "@pare/core";
import { checkInputs, checkState, type Feeds, latencyOf, type MeasureOptions, symbolsOf } from "@pare/core/session";
import { turns } from "@pare/io/turns";
import type { Engine, EngineOptions, WireInfo, WireTensor } from "./engine.ts";
import { dtypeFailure, isCarried } from "./local.ts";
import type { OrtSession } from "./options.ts";
import type { Store, Stored } from "./stored.ts";
import { declaredSize, measuredSize, slicesOf, type Tap, tapping } from "./taps.ts";
import { type Opened, openVariants, storedByFeeds } from "./variants.ts";

/** Default of `memoryBudget`. */
const BUDGET = 512 * 2 ** 20;

export interface SessionParts {
  /** Starts an engine; it may still be loading. */
  readonly start: () => Engine;
  /** The model and how to store it, or a file that is opened as it is. */
  readonly from: { readonly model: Model; readonly store: Store } | { readonly stored: Stored };
  readonly engineOptions: EngineOptions;
  readonly options: PrepareOptions;
  /** Called once, when the session is closed or could not be opened. */
  readonly dispose: () => Promise<void>;
}

interface Job {
  readonly feeds: Feeds;
  readonly outputs: readonly string[];
  readonly taps: readonly Tap[];
}

/** Opens a session. When that fails or is aborted nothing is left of it. */
export async function openSession(parts: SessionParts): Promise<OrtSession> {
  const { from, options, engineOptions } = parts;
  const { signal, memoryBudget: budget = BUDGET } = options;
  const model = "model" in from ? from.model : undefined;
  const carry = Object.entries(options.state ?? {});
  const carried = new Set(carry.map(([, input]) => input));
  const turn = turns("ort/timeout");
  let engine: Engine | undefined;
  let open: ReturnType<typeof openVariants> | undefined;
  let closing: Promise<void> | undefined;
  let moved = false;
  let initial: readonly WireTensor[] = [];
  const base =
    "model" in from ? storedByFeeds(from.model, from.store) : async () => ({ id: "base0", stored: from.stored });
  const probes: { readonly dims: readonly number[]; readonly sizes: ReadonlyMap<Tap, number> }[] = [];
  const ids = new Map<string, string>();

  const end = async () => engine?.kill();
  const closed = () => failure("ort/closed", "the session is closed");

  /** Opens a variant, in a new engine if there is none. */
  const variant = async (feeds: Feeds, patch: Patch | undefined, stop: AbortSignal) => {
    const fed = new Set([...carried, ...[...feeds.keys()].filter((name) => model?.graph.weights.has(name))]);
    const { id, stored } = await base(fed, stop);
    stop.throwIfAborted();
    if (closing) throw closed();
    if (!engine?.alive() || !open) {
      if (engine && moved)
        throw failure("ort/state-lost", "the state was lost when the engine ended", {
          hint: "Prepare the model anew.",
        });
      engine = parts.start();
      open = openVariants(engine, engineOptions, budget);
      if (initial.length > 0) await engine.setState(initial);
    }
    const name = patch ? `${id}-${patch.id}` : id;
    return { id: name, engine, info: await open(name, stored, patch?.make, stop) };
  };

  const prepare = async (stop: AbortSignal): Promise<Opened> => {
    if (model) {
      for (const { name, type } of [...model.graph.inputs, ...model.graph.outputs]) {
        if (type?.kind === "tensor" && !isCarried(type.dtype)) throw dtypeFailure(type.dtype, name);
        // The names become keys of plain objects in the bindings.
        if (name === "__proto__") throw failure("ort/refused", "an input or output cannot be called __proto__");
      }
      initial = await initialState(model, options, carried, stop);
    } else initial = Object.entries(options.initialState ?? {}).map(wire);
    const patch =
      taps.length === 0 ? undefined : needsProbe(new Map()) ? probePatch : slicePatch(slice(new Map())[0] ?? []);
    return (await variant(new Map(), patch, stop)).info;
  };

  const tapped = model && options.taps?.length ? tapping(model, options.taps) : undefined;
  const taps = tapped?.taps ?? [];
  const probePatch: Patch = { id: "shapes", make: () => tapped!.probe.patch() };
  const slicePatch = (selected: readonly Tap[]): Patch => {
    const key = selected.map((t) => taps.indexOf(t)).join();
    const id = ids.get(key) ?? `slice${ids.size}`;
    ids.set(key, id);
    return { id, make: () => tapped!.patch(selected) };
  };
  const declared = (symbols: ReadonlyMap<string, number>) => new Map(taps.map((t) => [t, declaredSize(t, symbols)]));
  const needsProbe = (symbols: ReadonlyMap<string, number>) => [...declared(symbols).values()].includes(undefined);
  const slice = (symbols: ReadonlyMap<string, number>) =>
    slicesOf(taps, new Map(taps.map((t) => [t, declaredSize(t, symbols) ?? 0])), budget);

  /** Sizes of the taps for these inputs: as declared, or measured for inputs that are as large in every dimension. */
  const sizesFor = async (feeds: Feeds, stop: AbortSignal): Promise<ReadonlyMap<Tap, number>> => {
    const sizes = declared(symbolsOf(inputs, feeds));
    if (![...sizes.values()].includes(undefined)) return sizes as ReadonlyMap<Tap, number>;
    const dims = [...feeds.values()].flatMap((t) => [t.shape.length, ...t.shape]);
    const larger = probes.find((p) => p.dims.length === dims.length && dims.every((d, i) => d <= p.dims[i]!));
    if (larger) return larger.sizes;
    const { id, engine: e } = await variant(feeds, probePatch, stop);
    const fetches = tapped!.probe.outputs;
    const shapes = await e.run({ id, feeds: wires(feeds), fetches, carry: [], commit: false });
    const measured = new Map(taps.map((t, i) => [t, measuredSize(t, shapeIn(shapes[i]!))]));
    probes.push({ dims, sizes: measured });
    return measured;
  };

  /** The groups in which a job's values are computed. */
  const plan = async (job: Job, stop: AbortSignal): Promise<readonly (readonly Tap[])[]> => {
    if (job.taps.length === 0) return [[]];
    return slicesOf(job.taps, await sizesFor(job.feeds, stop), budget);
  };
  const compute = async (job: Job, selected: readonly Tap[], first: boolean, last: boolean, stop: AbortSignal) => {
    const { id, engine: e } = await variant(job.feeds, selected.length > 0 ? slicePatch(selected) : undefined, stop);
    const names = new Map(selected.map((t) => [t.output, t.name]));
    const fetches = [...(first ? job.outputs : []), ...names.keys()];
    const results = await e.run({ id, feeds: wires(job.feeds), fetches, carry, commit: last });
    if (last && carry.length > 0) moved = true;
    return results.map((t): [string, ResidentTensor] => [
      names.get(t.name) ?? t.name,
      tensor(t.dtype, t.shape, t.bytes),
    ]);
  };
  /** A rejection that the closing of the session caused says so. */
  const settled = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      throw closing ? closed() : error;
    }
  };
  const check = (given: Values, wanted: readonly string[] | undefined): Job => {
    if (closing) throw closed();
    const optional = (name: string) =>
      (model?.graph.weights.has(name) ?? false) ||
      (carried.has(name) && (moved || initial.some((t) => t.name === name)));
    const feeds = checkInputs(inputs, optional, given, "ort/input");
    if (!wanted) return { feeds, outputs: outputs.map((o) => o.name), taps: taps.filter((t) => !isOutput(t.name)) };
    const tapsByName = new Map(taps.map((t) => [t.name, t]));
    for (const name of wanted)
      if (!isOutput(name) && !tapsByName.has(name))
        throw failure("ort/output", "this is no output and was not tapped", { location: { value: name } });
    return {
      feeds,
      outputs: [...new Set(wanted.filter(isOutput))],
      taps: taps.filter((t) => wanted.includes(t.name) && !isOutput(t.name)),
    };
  };
  const isOutput = (name: string) => outputs.some((o) => o.name === name);
  const patience = (o: { readonly signal?: AbortSignal; readonly timeout?: number }) => ({ ...o, end });

  let inputs: readonly ValueInfo[];
  let outputs: readonly ValueInfo[];
  try {
    const info = await turn(prepare, { signal, end });
    inputs = (model?.graph.inputs ?? info.inputs).map((i) => withType(i, info.inputs));
    const found = new Set(model?.graph.outputs.map((o) => o.name) ?? info.outputs.map((o) => o.name));
    outputs = (model?.graph.outputs ?? info.outputs.filter((o) => found.has(o.name))).map((o) =>
      withType(o, info.outputs),
    );
    checkState(carry, inputs, outputs, "ort/state");
  } catch (error) {
    await end();
    // A read that ignores the signal may go on; what it still writes goes when it is done.
    const over = turn(async () => {}, { end });
    let timer: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([over, new Promise((done) => (timer = setTimeout(done, 500)))]);
    clearTimeout(timer);
    await parts.dispose();
    over.then(parts.dispose).catch(() => {});
    throw error;
  }

  return {
    inputs,
    outputs,
    async run(given, o: SessionRunOptions = {}) {
      const job = check(given, o.outputs);
      const work = turn(async (stop) => {
        const values: [string, ResidentTensor][] = [];
        const slices = await plan(job, stop);
        for (const [i, selected] of slices.entries())
          values.push(...(await compute(job, selected, i === 0, i === slices.length - 1, stop)));
        return Object.fromEntries(values);
      }, patience(o));
      return settled(work);
    },
    async *runInSlices(given, o: SessionRunOptions = {}) {
      const job = check(given, o.outputs);
      const slices = await settled(turn((stop) => plan(job, stop), patience(o)));
      if (slices.length > 1 && carry.length > 0)
        throw failure("ort/state", "taps cannot be had in slices from a session with state", {
          hint: "Use run, or raise memoryBudget.",
        });
      for (const [i, selected] of slices.entries()) {
        const last = i === slices.length - 1;
        yield Object.fromEntries(
          await settled(turn((stop) => compute(job, selected, i === 0, last, stop), patience(o))),
        );
      }
    },
    async measure(given, o: MeasureOptions = {}) {
      const { feeds } = check(given, []);
      const { runs = 20, warmup = 3 } = o;
      if (!(runs >= 1)) throw failure("ort/input", "at least one run must be measured");
      const timesMs = await settled(
        turn(async (stop) => {
          const { id, engine: e } = await variant(feeds, undefined, stop);
          const fetches = outputs.map((v) => v.name);
          return e.measure({ id, feeds: wires(feeds), fetches, carry: [], commit: false, runs, warmup });
        }, patience(o)),
      );
      return latencyOf(timesMs);
    },
    get pid() {
      return engine?.alive() ? engine.pid : undefined;
    },
    close() {
      closing ??= (async () => {
        await end();
        // What was waiting learns that the session is closed.
        await turn(async () => {}, { end });
        await parts.dispose();
      })();
      return closing;
    },
  };
}

interface Patch {
  readonly id: string;
  readonly make: () => Uint8Array;
}

const wire = ([name, { dtype, shape, bytes }]: readonly [string, ResidentTensor]): WireTensor => ({
  name,
  dtype,
  shape,
  bytes,
});
const wires = (feeds: Feeds): WireTensor[] => [...feeds].map(wire);

const shapeIn = (t: WireTensor): readonly number[] =>
  [...(dataOf(tensor("int64", t.shape, t.bytes)) as BigInt64Array)].map(Number);

/** Completes what the model does not say of its inputs and outputs. */
function withType(info: ValueInfo | WireInfo, engine: readonly WireInfo[]): ValueInfo {
  if ("type" in info && info.type) return info;
  const found = engine.find((e) => e.name === info.name);
  if (!found?.dtype) return { name: info.name };
  // The binding says [] of scalars and of values of unknown rank.
  const shape = found.shape?.length ? { shape: found.shape } : {};
  return { name: info.name, type: { kind: "tensor", dtype: found.dtype, ...shape } };
}

/** First values of the state: as given, or the default of the input. */
async function initialState(
  model: Model,
  options: PrepareOptions,
  carried: ReadonlySet<string>,
  stop: AbortSignal,
): Promise<WireTensor[]> {
  const given = new Map(Object.entries(options.initialState ?? {}));
  for (const name of carried) {
    const weight = model.graph.weights.get(name);
    if (!given.has(name) && weight) given.set(name, await resident(weight, stop));
  }
  return [...given].map(wire);
}
