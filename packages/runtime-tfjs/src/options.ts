import type { Model, PrepareOptions, Runtime, Session, Values } from "@pare/core";
import type { Latency, MeasureOptions } from "@pare/core/session";

export type { Latency, MeasureOptions };

export interface TfjsOptions {
  /**
   * Which backend computes: `tensorflow` (native: `@tensorflow/tfjs-node-gpu` or `@tensorflow/tfjs-node`), `wasm`, `cpu`, or in
   * browsers `webgpu` or `webgl`. Default: the first of these that can be loaded.
   */
  readonly backend?: string;
  /** TensorFlow.js, imported, with its backends: for bundlers, and for builds of one's own. */
  readonly module?: object;
}

export interface GradientOptions {
  /** What each output's elements count in the sum that is differentiated, in float32: by output. */
  readonly upstream: Values;
  /** Inputs and weights to differentiate by, all in float32. Default: all such inputs that are given. */
  readonly by?: readonly string[];
  readonly signal?: AbortSignal;
}

/**
 * A model in TensorFlow.js, in this thread. Runs are made one after the other. An abort or time-out rejects at once; what
 * is computing goes on until its node is done. State is kept on the engine's side and survives that.
 */
export interface TfjsSession extends Session {
  /** The backend that computes. */
  readonly backend: string;
  /**
   * Operators of which nodes were not computed by TensorFlow.js so far but by the evaluator of `@pare/ops`: shapes, and
   * integers, which it would compute with too few bits or in another way.
   */
  readonly evaluated: ReadonlySet<string>;
  /** How long a run takes, with all outputs read back. State does not move. */
  measure(inputs: Values, options?: MeasureOptions): Promise<Latency>;
  /**
   * Gradients by TensorFlow.js's own rules (`tf.grads`): a check of others that owes them nothing.
   * @throws PareError `tfjs/failed` where it has no gradient of an operation
   */
  gradients(inputs: Values, options: GradientOptions): Promise<Values>;
}

export interface TfjsRuntime extends Runtime {
  /** Version and backend of TensorFlow.js: `4.22.0 wasm`. */
  version(): Promise<string>;
  prepare(model: Model, options?: PrepareOptions): Promise<TfjsSession>;
}
