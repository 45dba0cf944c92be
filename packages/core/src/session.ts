/** What the sessions of all runtimes do alike. */
import { type Diagnostic, failure, PareError } from "./diagnostic.ts";
import type { Dim, ValueInfo } from "./model.ts";
import type { Values } from "./runtime.ts";
import type { ResidentTensor } from "./tensor.ts";

/** A fed input and its name. */
export type Feeds = ReadonlyMap<string, ResidentTensor>;

/**
 * Checks what is fed against what the model says of its inputs: names, element types, ranks and dimensions, equal
 * symbols equal numbers. All problems come in one error.
 * @throws PareError `code`
 */
export function checkInputs(
  inputs: readonly ValueInfo[],
  optional: (name: string) => boolean,
  given: Values,
  code: string,
): Feeds {
  const problems: Diagnostic[] = [];
  const problem = (value: string, message: string, hint?: string) =>
    problems.push({ code, severity: "error", message, location: { value }, ...(hint ? { hint } : {}) });
  const feeds = new Map<string, ResidentTensor>();
  const symbols = new Map<string, { size: number; by: string }>();
  const known = new Set(inputs.map((i) => i.name));
  for (const name of Object.keys(given))
    if (!known.has(name)) problem(name, "the model has no such input", `It has ${[...known].join(", ") || "none"}.`);

  for (const { name, type } of inputs) {
    const t = Object.hasOwn(given, name) ? given[name] : undefined;
    if (!t) {
      if (!optional(name)) problem(name, "the input is missing");
      continue;
    }
    feeds.set(name, t);
    if (!t.bytes) problem(name, "the value is not in memory", "Read it with resident().");
    if (type?.kind !== "tensor") continue;
    if (t.dtype !== type.dtype) problem(name, `the input takes ${type.dtype}, but ${t.dtype} was given`);
    if (!type.shape) continue;
    const want = `[${type.shape.map((d) => d ?? "?").join(", ")}]`;
    if (t.shape.length !== type.shape.length) {
      problem(name, `the input takes ${want}, but [${t.shape.join(", ")}] was given`);
      continue;
    }
    type.shape.forEach((dim, i) => {
      const size = t.shape[i]!;
      if (typeof dim === "number" && dim !== size)
        problem(name, `dimension ${i} of the input is ${dim} in ${want}, but ${size} in [${t.shape.join(", ")}]`);
      if (!isSymbol(dim)) return;
      const bound = symbols.get(dim);
      if (!bound) symbols.set(dim, { size, by: name });
      else if (bound.size !== size)
        problem(name, `dimension ${i} of the input, ${dim}, is ${size}, but ${bound.size} in ${bound.by}`);
    });
  }
  if (problems.length > 0) throw new PareError(problems);
  return feeds;
}

/**
 * Checks which outputs become which inputs of the next run: both are there, and of one element type as far as it is known.
 * @throws PareError `code`
 */
export function checkState(
  state: Iterable<readonly [output: string, input: string]>,
  inputs: readonly ValueInfo[],
  outputs: readonly ValueInfo[],
  code: string,
): void {
  const [sources, targets] = [outputs, inputs].map((all) => new Map(all.map((v) => [v.name, v]))) as [
    Map<string, ValueInfo>,
    Map<string, ValueInfo>,
  ];
  const bad = (message: string, value: string) => failure(code, message, { location: { value } });
  for (const [output, input] of state) {
    const [from, to] = [sources.get(output), targets.get(input)];
    if (!from) throw bad("state comes from outputs, and the model has no such output", output);
    if (!to) throw bad("state goes to inputs, and the model has no such input", input);
    if (from.type?.kind === "tensor" && to.type?.kind === "tensor" && from.type.dtype !== to.type.dtype)
      throw bad(`the input takes ${to.type.dtype}, but the output ${output} is ${from.type.dtype}`, input);
  }
}

/** A dimension with a name that means something; "?" is what some exporters write for every unknown one. */
const isSymbol = (dim: Dim): dim is string => typeof dim === "string" && dim !== "" && dim !== "?";

/** The numbers that inputs give to the symbols in their shapes. */
export function symbolsOf(inputs: readonly ValueInfo[], feeds: Feeds): ReadonlyMap<string, number> {
  const symbols = new Map<string, number>();
  for (const { name, type } of inputs) {
    const t = feeds.get(name);
    if (t && type?.kind === "tensor")
      type.shape?.forEach((dim, i) => {
        if (isSymbol(dim)) symbols.set(dim, t.shape[i]!);
      });
  }
  return symbols;
}

/** Times of repeated runs, taken beside the engine: what crosses a process boundary does not count. */
export interface Latency {
  readonly medianMs: number;
  readonly p90Ms: number;
  readonly minMs: number;
  /** Each run, in order. */
  readonly timesMs: readonly number[];
}

export interface MeasureOptions {
  /** Runs that count. Default 20. */
  readonly runs?: number;
  /** Runs before them that do not. Default 3. */
  readonly warmup?: number;
  /** Milliseconds after which all of it is ended. */
  readonly timeout?: number;
  readonly signal?: AbortSignal;
}

/** Sums up the times of runs, of which there is at least one. */
export function latencyOf(timesMs: readonly number[]): Latency {
  const sorted = [...timesMs].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return {
    medianMs: (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2,
    p90Ms: sorted[Math.ceil(0.9 * sorted.length) - 1]!,
    minMs: sorted[0]!,
    timesMs,
  };
}
