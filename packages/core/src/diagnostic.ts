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

export const formatLocation = (at: Location): string =>
  [
    at.file !== undefined && (at.offset === undefined ? at.file : `${at.file} at byte ${at.offset}`),
    at.pass !== undefined && `pass ${at.pass}`,
    at.graph,
    at.node !== undefined && `node ${at.node}`,
    at.op,
    at.value !== undefined && `value ${at.value}`,
  ]
    .filter(Boolean)
    .join(", ");

/** `error onnx/truncated: the file ends inside a tensor (model.onnx at byte 512). Download it again.` */
export function formatDiagnostic(d: Diagnostic): string {
  const where = d.location ? formatLocation(d.location) : "";
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
    Object.defineProperty(this, brand, { value: true });
  }
  get code(): string {
    return this.diagnostics[0]?.code ?? "pare/unknown";
  }
}

export const isPareError = (error: unknown): error is PareError =>
  typeof error === "object" && error !== null && brand in error;

/** Makes a {@link PareError} of one diagnostic: `throw failure("core/cycle", "…", { hint, location, cause })`. */
export function failure(
  code: string,
  message: string,
  more: { hint?: string; location?: Location; cause?: unknown } = {},
): PareError {
  const { cause, ...rest } = more;
  return new PareError([{ code, severity: "error", message, ...rest }], cause === undefined ? undefined : { cause });
}
