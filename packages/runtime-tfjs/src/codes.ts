import { failure, type Location } from "@pare/core";

/** Every code that this package reports, with what it means. */
export const codes = {
  "tfjs/options": "options that do not go together",
  "tfjs/no-engine": "no build of TensorFlow.js is installed, or none can be loaded",
  "tfjs/operator": "operators that cannot be said in operations of TensorFlow.js",
  "tfjs/refused": "the model cannot be run as it is",
  "tfjs/failed": "TensorFlow.js failed in a run",
  "tfjs/timeout": "a run took too long",
  "tfjs/dtype": "values of a type that TensorFlow.js cannot carry",
  "tfjs/input": "an input is missing, unknown or of another type or shape",
  "tfjs/output": "a value was asked for that the model does not give",
  "tfjs/tap": "a value to tap is none of the model's",
  "tfjs/state": "outputs and inputs that are to be state do not fit",
  "tfjs/closed": "the session is closed",
} as const;

export type Code = keyof typeof codes;

export const fail = (code: Code, message: string, more: { hint?: string; location?: Location; cause?: unknown } = {}) =>
  failure(code, message, more);

export const at = (value: string) => ({ location: { value } });
