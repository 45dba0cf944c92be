import type { ByteSource, FileSink } from "./bytes.ts";
import type { Diagnostic } from "./diagnostic.ts";
import type { Model } from "./model.ts";
import type { Progress } from "./pass.ts";

/** A model and the files that its weights are read from, which stay open until `close`. */
export interface Source {
  readonly model: Model;
  readonly format: string;
  /** What the reader noticed and could live with. */
  readonly diagnostics: readonly Diagnostic[];
  close(): Promise<void>;
}

export interface ImportContext {
  readonly signal?: AbortSignal;
  /** Opens a file beside the model (external data) by the name the model gives. It refuses names that leave the folder. */
  sibling?(name: string): Promise<ByteSource>;
}

/** Reads a format. */
export interface Importer<Options = Record<never, never>> {
  readonly format: string;
  /** With the dot: `.onnx`. */
  readonly extensions: readonly string[];
  import(source: ByteSource, options?: Options & ImportContext): Promise<Source>;
}

export interface ExportContext {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/** What an exporter wrote: the files by name, the first is the model. */
export interface Artifact {
  readonly format: string;
  readonly files: readonly { readonly name: string; readonly byteLength: number }[];
  readonly diagnostics: readonly Diagnostic[];
}

/** Writes a format. The same model, options and version give the same bytes. */
export interface Exporter<Options = Record<never, never>> {
  readonly format: string;
  readonly extensions: readonly string[];
  /** Everything that keeps `model` from being written, at once, before a byte is. */
  check(model: Model, options?: Options): readonly Diagnostic[];
  /** Writes to `sink` under `name` and commits it; on failure or abort the sink is aborted and nothing is left. */
  export(model: Model, sink: FileSink, name: string, options?: Options & ExportContext): Promise<Artifact>;
}
