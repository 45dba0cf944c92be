import type { DType } from "@pare/core";

/** A value on its way to or from the engine; `bytes` as in a resident tensor. */
export interface WireTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** What LiteRT says of an input or output. `dtype` is missing where it has no values of that type; -1 is an unknown dimension. */
export interface WireInfo {
  readonly name: string;
  readonly dtype?: DType;
  readonly shape: readonly number[];
}

/** One of the entrances of a model. */
export interface WireSignature {
  readonly key: string;
  readonly inputs: readonly WireInfo[];
  readonly outputs: readonly WireInfo[];
}

/** Where a model is. */
export type ModelLocation = { readonly path: string } | { readonly bytes: Uint8Array };

export interface EngineOptions {
  readonly accelerator: "wasm" | "webgpu" | "webnn";
  readonly threads: number;
}

export interface RunRequest {
  /** Which opened model. */
  readonly id: string;
  readonly signature: number;
  /** In the order of the signature. */
  readonly inputs: readonly WireTensor[];
}

export interface MeasureRequest extends RunRequest {
  readonly warmup: number;
  readonly runs: number;
}

/**
 * The engine's side of one session: several models, which are shapes of one. In this process or another. Calls come one at
 * a time. Rejections are PareErrors.
 */
export interface Engine {
  open(id: string, model: ModelLocation, options: EngineOptions): Promise<readonly WireSignature[]>;
  /** The outputs in the order of the signature. */
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
