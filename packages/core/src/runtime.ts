import type { Model, ValueInfo } from "./model.ts";
import type { ResidentTensor } from "./tensor.ts";

/** Values by name: what goes into a model or comes out of it. */
export type Values = Readonly<Record<string, ResidentTensor>>;

export interface PrepareOptions {
  /** Inner values of the main graph to return besides the outputs. */
  readonly taps?: readonly string[];
  /** Outputs whose value becomes the next run's value of an input, kept on the engine's side: output to input. */
  readonly state?: Readonly<Record<string, string>>;
  /** First values of the inputs named by `state`. */
  readonly initialState?: Values;
  /** Threads of one operator; by default the engine's choice. */
  readonly threads?: number;
  /** Most bytes that tapped values may take at once; more taps are run in several slices. Default 512 MiB. */
  readonly memoryBudget?: number;
  readonly signal?: AbortSignal;
}

export interface RunOptions {
  /** Names of the values wanted: outputs or taps; by default all. */
  readonly outputs?: readonly string[];
  readonly signal?: AbortSignal;
  /** Milliseconds after which the run is ended with a PareError `…/timeout`. */
  readonly timeout?: number;
}

/** A model made ready to run. Runs queue up; each is independent but for `state`. */
export interface Session {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /**
   * Runs once. Inputs that have a default or are state may be left out.
   * @throws PareError when an input is missing, unknown or of the wrong type or shape, or the engine fails or crashes
   */
  run(inputs: Values, options?: RunOptions): Promise<Values>;
  /** Frees the engine's memory and files. Safe to call twice. */
  close(): Promise<void>;
}

/** An engine that executes models. */
export interface Runtime {
  readonly name: string;
  /** Version of the engine, once known. */
  version(): Promise<string>;
  /** @throws PareError when the engine refuses the model, with its reason */
  prepare(model: Model, options?: PrepareOptions): Promise<Session>;
  /** Runs a file as it is, so that what is verified is what was written. Runtimes of formats that are not on disk lack it. */
  prepareFile?(path: string, options?: PrepareOptions): Promise<Session>;
}
