import {
  byteLengthOf,
  elementCount,
  type PrepareOptions,
  type ResidentTensor,
  type SessionRunOptions,
  tensor,
  type ValueInfo,
  type Values,
} from "@pare/core";
import { checkInputs, checkState, type Feeds, latencyOf, type MeasureOptions } from "@pare/core/session";
import { turns } from "@pare/io/turns";
import { at, fail } from "./codes.ts";
import type { Engine, EngineOptions } from "./engine.ts";
import type { LitertSession } from "./options.ts";
import type { Program } from "./program.ts";
import { type ModelStore, makeVariants } from "./variants.ts";

export interface SessionParts {
  readonly start: () => Engine;
  readonly program: Program;
  readonly store: ModelStore;
  readonly engineOptions: EngineOptions;
  readonly options: PrepareOptions;
  /** Called once, when the session is closed or could not be opened. */
  readonly dispose: () => Promise<void>;
}

/** Most bytes that tapped values take at once, unless the caller says otherwise. */
const BUDGET = 512 * 2 ** 20;

/** Opens a session. When that fails or is aborted nothing is left of it. */
export async function openSession(parts: SessionParts): Promise<LitertSession> {
  const { program, engineOptions, options } = parts;
  const { inputs, outputs } = program;
  const taps = [...new Set(options.taps ?? [])].filter((name) => !outputs.some((o) => o.name === name));
  const carry = new Map(Object.entries(options.state ?? {}));
  const state = new Map(Object.entries(options.initialState ?? {}));
  const turn = turns("litert/timeout");
  const budget = options.memoryBudget ?? BUDGET;
  let engine: Engine | undefined;
  let closing: Promise<void> | undefined;

  const end = async () => engine?.kill();
  const closed = () => fail("litert/closed", "the session is closed");
  const alive = (): Engine => {
    if (closing) throw closed();
    if (!engine?.alive()) engine = parts.start();
    return engine;
  };
  const variants = makeVariants({ program, store: parts.store, engineOptions, engine: alive });
  const outputNames = outputs.map((o) => o.name);

  const withState = (given: Values): Feeds => {
    if (closing) throw closed();
    return checkInputs(
      inputs,
      (name) => state.has(name),
      { ...Object.fromEntries([...state].filter(([name]) => !Object.hasOwn(given, name))), ...given },
      "litert/input",
    );
  };
  const wanted = (names: readonly string[] | undefined): readonly string[] => {
    const all = [...outputNames, ...taps];
    for (const name of names ?? [])
      if (!all.includes(name)) throw fail("litert/output", "this is no output and was not tapped", at(name));
    return names ? all.filter((name) => names.includes(name)) : all;
  };
  /** The values of these names, the taps in as many runs as the memory budget asks for. */
  const compute = async (feeds: Feeds, names: readonly string[], stop: AbortSignal): Promise<Values> => {
    const isTap = new Set(taps);
    const tapped = names.filter((name) => isTap.has(name));
    // State is wanted whether the caller wants it or not; without taps the copy that gives all outputs is there.
    const first = outputNames.filter((name) => tapped.length === 0 || names.includes(name) || carry.has(name));
    const sizes = tapped.length > 0 ? await variants.sizes(feeds, stop) : new Map<string, number>();
    const values = new Map<string, ResidentTensor>();
    for (const slice of slicesOf(first, tapped, sizes, budget))
      for (const [name, t] of await variants.run(feeds, slice, stop)) values.set(name, t);
    for (const [output, input] of carry) state.set(input, values.get(output)!);
    return Object.fromEntries([...values].filter(([name]) => names.includes(name)));
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
    checkState(carry, inputs, outputs, "litert/state");
    await turn(
      async (stop) => {
        const feeds = zeros(inputs);
        if (feeds) await variants.tryOut(feeds, [...outputNames, ...taps], stop);
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
      // In its turn: the runs before it move the state.
      const work = turn((stop) => compute(withState(given), names, stop), patience(o));
      return settled(work);
    },
    async measure(given, o: MeasureOptions = {}) {
      const { runs = 20, warmup = 3 } = o;
      if (!(runs >= 1)) throw fail("litert/input", "at least one run must be measured");
      const work = turn((stop) => variants.measure(withState(given), outputNames, runs, warmup, stop), patience(o));
      return latencyOf(await settled(work));
    },
    get pid() {
      return engine?.alive() ? engine.pid : undefined;
    },
    close: () => (closing ??= close()),
  };
}

/** What to give in each run: the outputs and the taps that fit in the budget, then more taps. */
function slicesOf(
  outputs: readonly string[],
  taps: readonly string[],
  sizes: ReadonlyMap<string, number>,
  budget: number,
): string[][] {
  const slices: string[][] = [[...outputs]];
  let bytes = 0;
  for (const name of taps) {
    const size = sizes.get(name) ?? 0;
    const slice = slices.at(-1)!;
    if (bytes > 0 && bytes + size > budget) {
      slices.push([name]);
      bytes = size;
    } else {
      slice.push(name);
      bytes += size;
    }
  }
  return slices.filter((slice) => slice.length > 0);
}

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
