import { edit, type Model } from "@pare/core";
import type { Engine, EngineOptions, WireInfo } from "./engine.ts";
import type { Store, Stored } from "./stored.ts";

/** Inputs and outputs of an opened variant. */
export interface Opened {
  readonly inputs: readonly WireInfo[];
  readonly outputs: readonly WireInfo[];
}

/**
 * What the engine is given: inputs that have a default are constants (which it folds), but for those in `fed`, whose
 * constant goes.
 */
export const withInputs = (model: Model, fed: ReadonlySet<string>): Model =>
  edit(model, (e) => {
    const { inputs, weights } = model.graph;
    if (inputs.some(({ name }) => weights.has(name) && !fed.has(name)))
      e.setGraph(e.view.main, { inputs: inputs.filter(({ name }) => !weights.has(name) || fed.has(name)) });
    for (const name of fed) e.removeWeight(e.view.main, name);
  });

/**
 * With taps the engine runs the graph as it is written: what it fuses depends on what is an output, so that values would
 * differ in their last bits with the taps beside them. Nor does it keep the memory of a run for the next one, as each
 * variant would have its own.
 */
const plain: EngineOptions = { graphOptimizationLevel: "disabled", enableCpuMemArena: false };

/** The variants of a model that an engine has open, at most as many as their weights fit in `budget`. */
export function openVariants(engine: Engine, options: EngineOptions, budget: number) {
  const opened = new Map<string, Opened>();
  return async (id: string, stored: Stored, patch: (() => Uint8Array) | undefined, stop: AbortSignal) => {
    const known = opened.get(id);
    if (known) {
      opened.delete(id);
      opened.set(id, known);
      return known;
    }
    while (opened.size > 0 && (opened.size + 1) * stored.byteLength > budget) {
      const [oldest] = opened.keys();
      opened.delete(oldest!);
      await engine.release(oldest!);
    }
    const location = await stored.variant(id, patch);
    stop.throwIfAborted();
    const now = await engine.open(id, location, patch ? { ...options, ...plain } : options);
    opened.set(id, now);
    return now;
  };
}

/** Stores the model once for each set of inputs with a default that are fed nevertheless. */
export function storedByFeeds(model: Model, store: Store) {
  const bases = new Map<string, { id: string; stored: Stored }>();
  return async (fed: ReadonlySet<string>, stop: AbortSignal) => {
    const key = JSON.stringify([...fed].sort());
    const known = bases.get(key);
    if (known) return known;
    const made = { id: `base${bases.size}`, stored: await store(withInputs(model, fed), stop) };
    bases.set(key, made);
    return made;
  };
}
