import { failure, type Location } from "@pare/core";

/** Every code that this package reports, with what it means. */
export const codes = {
  "litert/options": "options that do not go together",
  "litert/no-engine": "@litertjs/core is not installed or cannot be loaded",
  "litert/no-child": "the script of the engine's process is missing",
  "litert/refused": "LiteRT refuses the model",
  "litert/failed": "LiteRT failed in a run",
  "litert/crashed": "LiteRT or its process ended",
  "litert/timeout": "a run took too long",
  "litert/too-large": "the model does not fit in the engine's memory",
  "litert/dtype": "a value of a type that LiteRT cannot take or give",
  "litert/input": "an input is missing, unknown or of another type or shape",
  "litert/output": "a value was asked for that the model does not give",
  "litert/tap": "a value to tap is none of the model's",
  "litert/state": "outputs and inputs that are to be state do not fit",
  "litert/signature": "the model has no such signature",
  "litert/closed": "the session is closed",
} as const;

export type Code = keyof typeof codes;

export const fail = (code: Code, message: string, more: { hint?: string; location?: Location; cause?: unknown } = {}) =>
  failure(code, message, more);

export const at = (value: string) => ({ location: { value } });
