import { type Diagnostic, ensure, failure, PareError, problem } from "./diagnostic.ts";
import type { Model, Node } from "./model.ts";
import type { Runtime } from "./runtime.ts";
import type { Samples } from "./samples.ts";
import type { StandardSchemaV1 } from "./standard-schema.ts";
import type { Store } from "./store.ts";
import type { Target } from "./target.ts";
import type { ResidentTensor } from "./tensor.ts";
import type { GraphView } from "./view.ts";
import type { Weight } from "./weight.ts";

/** The version of this contract. A pass says which it was written for, and a host refuses what it does not know. */
export const PASS_API_VERSION = 1;

/** What the host can supply that is not JSON. */
export interface Host {
  /** Executes models: calibration, measurement. */
  readonly runtime?: Runtime;
  /** Inputs of the model. */
  readonly samples?: Samples;
  /** The right answers to `samples`, in their order: values by the name of the label. */
  readonly labels?: Samples;
  /** What the result is for. */
  readonly target?: Target;
  /** Where results that take long are kept. */
  readonly store?: Store;
}
export type Need = keyof Host;

export interface Progress {
  /** `float16`, `write model.onnx`. */
  readonly task: string;
  readonly done: number;
  /** Missing when it is not known. */
  readonly total?: number;
  readonly unit: "bytes" | "samples" | "nodes" | "steps";
}

/** What a pass did something to, or left alone: a weight, or a node of a graph. */
export type Site = Weight | { readonly view: GraphView; readonly node: Node };

/** Numbers about a site. One that must read weights is a function, called when someone asks for it. */
export type Facts = Readonly<Record<string, number | string | (() => Promise<number | string>)>>;

/** Which statistics of which values a pass wants gathered over the samples. All passes' wishes are met in one sweep. */
export interface Observation {
  /** Values of the main graph. */
  readonly values: readonly string[];
  /** `absmax`, `min-max`, … : what the host knows to gather. */
  readonly statistic: string;
}
/** Gathered statistics by value. */
export type Statistics = ReadonlyMap<string, ResidentTensor>;

/** What `run` of a pass is given. `needs` that were declared are there. */
export interface PassContext<N extends Need = never> extends Host {
  readonly signal: AbortSignal;
  /** The wishes of `observe`, fulfilled. */
  readonly statistics: Statistics;
  progress(done: number, total?: number, unit?: Progress["unit"]): void;
  /** Counts a site as done. */
  done(site: Site, facts?: Facts): void;
  /** Counts a site as left alone, and says why. */
  skip(site: Site, reason: string): void;
  /** Reports a problem that is no failure. */
  diagnose(diagnostic: Diagnostic): void;
  /** Declared needs, never undefined. */
  readonly host: Readonly<Required<Pick<Host, N>>>;
}

/** Model in, model out. Made by a factory, with its options checked. */
export interface Pass {
  readonly name: string;
  readonly apiVersion: number;
  /** As JSON, defaults filled in. */
  readonly options: unknown;
  readonly needs: readonly Need[];
  readonly reads?: "weights" | undefined;
  readonly observe?: ((model: Model, host: Host) => readonly Observation[]) | undefined;
  run(model: Model, ctx: PassContext<Need>): Model | Promise<Model>;
  /** The passes that this one is made of. */
  readonly steps?: readonly Pass[];
}

export interface PassDefinition<S extends StandardSchemaV1, N extends Need> {
  /** Unique: the package's name, or `package/pass`. */
  readonly name: string;
  readonly apiVersion: number;
  /** Any Standard Schema (zod, valibot, …) of JSON options; strict, so that an unknown option is an error. */
  readonly options?: S;
  /** What `run` cannot do without. */
  readonly needs?: readonly N[];
  /**
   * `weights` when `run` itself reads large weights, piece by piece: to measure them, or because the method is eager.
   * Without it, they are read when what was derived from them is.
   */
  readonly reads?: "weights";
  observe?(model: Model, options: StandardSchemaV1.InferOutput<S>, host: Host): readonly Observation[];
  /** Must not change the model it is given, and returns that very object when there is nothing to do. */
  run(model: Model, options: StandardSchemaV1.InferOutput<S>, ctx: PassContext<N>): Model | Promise<Model>;
}

/** Makes passes of one kind from options: `int8Weights({ granularity: "channel" })`. */
export interface PassFactory<S extends StandardSchemaV1 = StandardSchemaV1> {
  (options?: StandardSchemaV1.InferInput<S>): Pass;
  readonly passName: string;
  /** The schema, from which flags, help and validation come. */
  readonly schema: S | undefined;
}

/**
 * Defines a pass once; the result makes passes from options.
 * @throws PareError `core/options` from the factory, with every problem of the options it was given
 */
export function definePass<S extends StandardSchemaV1 = StandardSchemaV1<Record<never, never>>, N extends Need = never>(
  definition: PassDefinition<S, N>,
): PassFactory<S> {
  const { name, apiVersion, options: schema, needs = [], reads, observe } = definition;
  const factory = (input?: StandardSchemaV1.InferInput<S>): Pass => {
    const options = checkOptions(name, schema, input);
    return {
      name,
      apiVersion,
      options,
      needs,
      reads,
      observe: observe && ((m, host) => observe(m, options, host)),
      run: (m, ctx) => definition.run(m, options, ctx as unknown as PassContext<N>),
    };
  };
  return Object.assign(factory, { passName: name, schema });
}

function checkOptions<S extends StandardSchemaV1>(
  name: string,
  schema: S | undefined,
  input: unknown = {},
): StandardSchemaV1.InferOutput<S> {
  if (!schema) {
    ensure(Object.keys(input as object).map((key) => problem("core/options", `${name} has no option ${key}`)));
    return {};
  }
  const checked = schema["~standard"].validate(input);
  if (checked instanceof Promise) throw failure("core/options", `${name} has a schema that is not synchronous`);
  if (!checked.issues) return checked.value as StandardSchemaV1.InferOutput<S>;
  throw new PareError(
    checked.issues.map(({ path = [], message }) => {
      const where = path.map((part) => `${String(typeof part === "object" ? part.key : part)}: `);
      return problem("core/options", `${name}: ${where.join("")}${message}`);
    }),
  );
}

/**
 * Several passes as one. `run(pipeline, …)` verifies and reports each of them by itself.
 */
export const pipeline = (name: string, steps: readonly Pass[]): Pass => ({
  name,
  apiVersion: PASS_API_VERSION,
  options: steps.map((s) => ({ name: s.name, options: s.options })),
  needs: [...new Set(steps.flatMap((s) => s.needs))],
  steps,
  async run(m, ctx) {
    let current = m;
    for (const s of steps) current = await s.run(current, ctx);
    return current;
  },
});
