import type { Model, PrepareOptions, Runtime, Session, Values } from "@pare/core";
import type { Latency, MeasureOptions } from "@pare/core/session";
import type { Lower } from "./program.ts";

export type { Latency, Lower, MeasureOptions };

export interface LitertOptions {
  /**
   * Whether LiteRT runs in a process of its own (default, Node only). In this process it blocks the event loop while it
   * runs, cannot be interrupted, and puts what it looks for in a browser into the globals while it loads.
   */
  readonly isolate?: boolean;
  /** Which of a model's signatures to run, by its key. Default: the first. */
  readonly signature?: string;
  /**
   * Makes a TFLite model of one of Pare's whose inputs have known shapes. It is called once for each combination of shapes.
   * Default: the lowering of `@pare/tflite`, in float32.
   */
  readonly lower?: Lower;
  /** Where to run (browsers): `wasm`, which is XNNPACK on the processor, or the graphics card or NPU. Default `wasm`. */
  readonly accelerator?: "wasm" | "webgpu" | "webnn";
  /** Threads, where the page may have several (browsers). Default 1. */
  readonly threads?: number;
  /**
   * Where the page finds the files of the folder `wasm` of `@litertjs/core`, with a slash at the end. Needed in browsers.
   */
  readonly wasm?: string;
  /** The file of another `@litertjs/core` (Node), or the module, imported. */
  readonly module?: string | object;
}

/**
 * A model in LiteRT. Runs are made one after the other. One that is aborted or takes longer than its time-out ends LiteRT at
 * once (unless it runs in this process); the next run starts it anew. State is kept on this side and survives that.
 */
export interface LitertSession extends Session {
  /** How long a run takes. State does not move. */
  measure(inputs: Values, options?: MeasureOptions): Promise<Latency>;
  /** LiteRT's process, while there is one. */
  readonly pid: number | undefined;
}

export interface LitertRuntime extends Runtime {
  prepare(model: Model, options?: PrepareOptions): Promise<LitertSession>;
  /** In Node by path; in browsers there are no paths, but URLs. */
  prepareFile(path: string, options?: PrepareOptions): Promise<LitertSession>;
}
