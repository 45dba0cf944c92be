import { failure, type Location } from "@pare/core";

/** Every code that reading and writing files reports, with what it means. */
export const codes = {
  "tflite/not-tflite": "the file is something else",
  "tflite/truncated": "an offset or length runs past the end of the file",
  "tflite/alignment": "something stands where its alignment does not allow it",
  "tflite/table": "a table or its layout is malformed",
  "tflite/unknown-field": "a table has a field that this version of the schema does not know",
  "tflite/union": "a union holds nothing, or a table that this version of the schema does not know",
  "tflite/string": "a string does not end, or is not UTF-8",
  "tflite/too-large": "the description of the model takes more memory than allowed",
  "tflite/version": "the model is of another version of the format",
  "tflite/index": "an index points at nothing",
  "tflite/shape": "a tensor has no usable shape",
  "tflite/buffer": "the data of a constant is given twice or does not fill its shape",
  "tflite/value": "a value does not fit its field",
  "tflite/inline-limit": "what describes the model does not fit in 2 GB",
} as const;

export type Code = keyof typeof codes;

export const fail = (code: Code, message: string, more: { hint?: string; location?: Location; cause?: unknown } = {}) =>
  failure(code, message, more);
