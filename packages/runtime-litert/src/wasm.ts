/**
 * What is used of LiteRT's WebAssembly module. Its JavaScript layer has tensors of float32, int32 and uint8 only and does
 * not say when a run fails; the module below it has all types and writes what fails to its log.
 */
export interface Wasm {
  readonly HEAPU8: Uint8Array;
  readonly LiteRtTensorBufferType: { readonly HOST_MEMORY: unknown };
  readonly LiteRtTensorBufferLockMode: { readonly READ: unknown; readonly WRITE: unknown };
  readonly VectorInt32: new () => Vector<number>;
  readonly LiteRtLayout: { create(dimensions: Vector<number>): Layout };
  readonly LiteRtRankedTensorType: { create(element: { readonly value: number }, layout: Layout): RankedType };
  readonly LiteRtTensorBuffer: {
    createManaged(environment: unknown, kind: unknown, type: RankedType, bytes: number): TensorBuffer;
  };
  _malloc(bytes: number): number;
  _free(pointer: number): void;
  loadModel(environment: unknown, pointer: number, bytes: number): WasmModel;
  compileModel(environment: unknown, model: WasmModel, options: object): Promise<CompiledModel> | CompiledModel;
}

interface Deletable {
  delete(): void;
}
export interface Vector<T> extends Deletable {
  size(): number;
  get(index: number): T;
  push_back(item: T): void;
}
export interface Layout extends Deletable {
  dimensions(): Vector<number>;
}
export interface RankedType extends Deletable {
  elementType(): { readonly value: number };
  layout(): Layout;
  bytes(): number;
}
export interface TensorBuffer extends Deletable {
  lock(mode: unknown): number;
  unlock(): void;
  packedSize(): number;
  tensorType(): RankedType;
}
export interface WasmSignature extends Deletable {
  key(): string;
  inputNames(): Vector<string>;
  outputNames(): Vector<string>;
}
export interface WasmModel extends Deletable {
  getNumSignatures(): number;
  getSignature(index: number): WasmSignature;
  getInputTensorType(signature: number, index: number): RankedType;
  getOutputTensorType(signature: number, index: number): RankedType;
}
export interface CompiledModel extends Deletable {
  run(signature: number, inputs: readonly TensorBuffer[]): Promise<TensorBuffer[]> | TensorBuffer[];
}

/** LiteRT, loaded, with what it has logged. */
export interface LiteRt {
  readonly wasm: Wasm;
  /** The environment that models are compiled in, as LiteRT's JavaScript knows it, and as its module does. */
  readonly environment: { readonly liteRtEnvironment: unknown };
  /** Errors logged since they were last taken. */
  takeErrors(): readonly string[];
}

/** The module `@litertjs/core`, as far as it is used. */
export interface LiteRtModule {
  loadLiteRt(path: string, options?: { readonly threads?: boolean }): Promise<LoadedLiteRt>;
  getGlobalLiteRtPromise?(): Promise<LoadedLiteRt> | undefined;
}
export interface LoadedLiteRt {
  readonly liteRtWasm: Wasm;
  getDefaultEnvironment(): { readonly liteRtEnvironment: unknown };
}

export const listOf = <T>(vector: Vector<T>): T[] => {
  const list = Array.from({ length: vector.size() }, (_, i) => vector.get(i));
  vector.delete();
  return list;
};
