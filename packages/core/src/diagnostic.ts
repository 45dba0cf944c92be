/** Where in a model, file or configuration something is. All parts are optional; each narrows the one before it. */
export interface Location {
  readonly file?: string;
  /** Byte offset in the file. */
  readonly offset?: number;
  /** Path of graphs from the main graph: `then_branch of If_3`. */
  readonly graph?: string;
  readonly node?: string;
  readonly op?: string;
  readonly value?: string;
  readonly pass?: string;
}

/** One shape for failures, warnings and notes. */
export interface Diagnostic {
  /** `package/what-is-wrong`, stable; each package lists its codes in one table. */
  readonly code: string;
  readonly severity: "error" | "warning" | "info";
  /** What is wrong, in one sentence. */
  readonly message: string;
  /** What to do about it. */
  readonly hint?: string;
  readonly location?: Location;
}

/** `file model.onnx, offset 512, node Conv_3`: the parts in the order in which they were given. */
export const formatLocation = (at: Location): string =>
  Object.entries(at)
    .map(([part, where]) => `${part} ${where}`)
    .join(", ");

/** `error onnx/truncated: the file ends inside a tensor (file model.onnx, offset 512). Download it again.` */
export function formatDiagnostic(d: Diagnostic): string {
  const where = formatLocation(d.location ?? {});
  return `${d.severity} ${d.code}: ${d.message}${where && ` (${where})`}${d.hint ? ` ${d.hint}` : ""}`;
}

const brand = Symbol.for("pare.error");

/** The one error that Pare throws. Recognise it with {@link isPareError}: two copies of a package have two classes. */
export class PareError extends Error {
  override readonly name = "PareError";
  readonly diagnostics: readonly Diagnostic[];
  constructor(diagnostics: readonly Diagnostic[], options?: { cause?: unknown }) {
    super(diagnostics.map(formatDiagnostic).join("\n"), options);
    this.diagnostics = diagnostics;
  }
  get [brand](): boolean {
    return true;
  }
  get code(): string {
    return this.diagnostics[0]?.code ?? "pare/unknown";
  }
}

export const isPareError = (error: unknown): error is PareError => error instanceof Object && brand in error;

/** Makes a diagnostic: `problem("core/cycle", "…", { hint, location })`. An error unless `more` says otherwise. */
export const problem = (code: string, message: string, more: Partial<Diagnostic> = {}): Diagnostic => ({
  code,
  severity: "error",
  message,
  ...more,
});

/** Makes a {@link PareError} of one diagnostic: `throw failure("core/cycle", "…", { hint, location, cause })`. */
export const failure = (
  code: string,
  message: string,
  { cause, ...more }: { hint?: string; location?: Location; cause?: unknown } = {},
): PareError => new PareError([problem(code, message, more)], cause ? { cause } : undefined);

/** Throws a {@link PareError} when there are problems. */
export function ensure(problems: readonly Diagnostic[]): void {
  if (problems.length > 0) throw new PareError(problems);
}
