import type { DType } from "@pare/core";

/** A value on its way to or from the engine; `bytes` as in a resident tensor. */
export interface WireTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** What the engine says of an input or output; `dtype` is missing for what is not a tensor. */
export interface WireInfo {
  readonly name: string;
  readonly dtype?: DType;
  readonly shape?: readonly (number | string | null)[];
}

/** Where a model is: a file, or memory with its external data. */
export type ModelLocation =
  | { readonly path: string }
  | {
      readonly bytes: Uint8Array;
      readonly externalData: readonly { readonly path: string; readonly data: Uint8Array }[];
    };

/** Options of ONNX Runtime's `SessionOptions` that Pare passes on. JSON. */
export interface EngineOptions {
  readonly executionProviders?: readonly unknown[];
  readonly intraOpNumThreads?: number;
  readonly graphOptimizationLevel?: string;
  readonly logSeverityLevel?: number;
  readonly [option: string]: unknown;
}

export interface RunRequest {
  /** Which opened model. */
  readonly id: string;
  readonly feeds: readonly WireTensor[];
  /** Outputs to give back. */
  readonly fetches: readonly string[];
  /** Outputs that become inputs, by output. */
  readonly carry: readonly (readonly [output: string, input: string])[];
  /** Whether this run moves the state on. */
  readonly commit: boolean;
}

export interface MeasureRequest extends RunRequest {
  readonly warmup: number;
  readonly runs: number;
}

/**
 * The engine's side of one session: several models (variants of one) and the state. In this process or another. Calls
 * come one at a time. Rejections are PareErrors.
 */
export interface Engine {
  open(id: string, model: ModelLocation, options: EngineOptions): Promise<{ inputs: WireInfo[]; outputs: WireInfo[] }>;
  setState(values: readonly WireTensor[]): Promise<void>;
  run(request: RunRequest): Promise<WireTensor[]>;
  /** Milliseconds of each of `runs` runs. */
  measure(request: MeasureRequest): Promise<number[]>;
  release(id: string): Promise<void>;
  /** Ends it at once, if that can be done; what is under way rejects. Resolves when it is gone. */
  kill(): Promise<void>;
  /** False once it crashed or was killed. */
  alive(): boolean;
  /** The process it runs in, if that is one of its own. */
  readonly pid?: number;
}
