import type { Model, PrepareOptions, Runtime, Session, SessionRunOptions, Values } from "@pare/core";
import type { Latency, MeasureOptions } from "@pare/core/session";
import type { OrtModule } from "./local.ts";

export type { Latency, MeasureOptions };

export interface OrtOptions {
  /** `node`: onnxruntime-node, the default in Node. `web`: onnxruntime-web (WebAssembly, WebGPU), always in this process. */
  readonly engine?: "node" | "web";
  /**
   * Whether the engine runs in a process of its own (default, Node only). In this process it blocks the event loop while
   * it runs, cannot be interrupted, and takes the program along when it crashes.
   */
  readonly isolate?: boolean;
  /** Threads of one operator, unless `prepare` says otherwise. Default: the engine's choice. */
  readonly threads?: number;
  /** ONNX Runtime's execution providers in order of preference. Default: its own. */
  readonly executionProviders?: readonly (string | Readonly<Record<string, unknown>>)[];
  /** How far ONNX Runtime rewrites the graph. Default `all`; runs that return taps take the graph as it is written. */
  readonly graphOptimization?: "disabled" | "basic" | "extended" | "layout" | "all";
  /** More of ONNX Runtime's session options, as JSON. */
  readonly sessionOptions?: Readonly<Record<string, unknown>>;
  /**
   * Another build of the engine: the name or path of a module (Node), or the module, imported (runs in this process).
   * Default: `onnxruntime-node` or `onnxruntime-web`, looked for beside this package and in the program's folder.
   */
  readonly module?: string | OrtModule;
}

/**
 * A model in ONNX Runtime. Runs are made one after the other. One that is aborted or takes longer than its time-out ends
 * the engine at once (unless it runs in this process); the next run starts it anew on the same files, but what was
 * state is lost then: a session with state gives `ort/state-lost` from there on. The same holds after a crash.
 */
export interface OrtSession extends Session {
  /**
   * As `run`, but gives the values as they come: first the outputs, with the taps that fit in the memory budget, then
   * further taps. Who takes each group and lets go of it never holds more than the budget.
   */
  runInSlices(inputs: Values, options?: SessionRunOptions): AsyncGenerator<Values>;
  /** How long a run takes. Computes the outputs, not the taps; state does not move. */
  measure(inputs: Values, options?: MeasureOptions): Promise<Latency>;
  /** The engine's process, while there is one. */
  readonly pid: number | undefined;
}

export interface OrtRuntime extends Runtime {
  prepare(model: Model, options?: PrepareOptions): Promise<OrtSession>;
}
/** The runtime in Node, where models are files as well. */
export interface OrtFileRuntime extends OrtRuntime {
  prepareFile(path: string, options?: PrepareOptions): Promise<OrtSession>;
}
