import { failure, type Location } from "@pare/core";

/** Every code that this package reports, with what it means. */
export const codes = {
  "onnx/truncated": "a length runs past the end of the file or of the message around it",
  "onnx/varint": "an integer is longer than 64 bits",
  "onnx/tag": "what should be a field is none",
  "onnx/packed": "a packed list does not hold whole elements",
  "onnx/too-deep": "messages or graphs are nested too deeply",
  "onnx/too-large": "the description of the model takes more memory than allowed",
  "onnx/not-onnx": "the file is something else",
  "onnx/no-graph": "the file holds no graph",
  "onnx/opset": "an operator set is missing, given twice or unknown",
  "onnx/attribute": "an attribute has no usable type or value, or its name comes twice",
  "onnx/name": "something that needs a name of its own has none",
  "onnx/dtype": "an element type that ONNX does not define",
  "onnx/tensor-shape": "the dimensions of a tensor are no shape",
  "onnx/tensor-size": "the data of a tensor does not fill its shape",
  "onnx/tensor-data": "the data of a tensor is in a field that its type does not allow",
  "onnx/external-location": "external data lies outside the folder of the model",
  "onnx/external-range": "external data lies outside its file",
  "onnx/external-missing": "external data cannot be opened",
  "onnx/external-key": "an entry of external data is not one of ONNX",
  "onnx/inline-limit": "a model of 2 GiB cannot be one file",
  "onnx/duplicate-key": "a key comes twice in metadata",
  "onnx/training-info": "training graphs were left out",
  "onnx/no-adapter": "an operator changed its meaning between two opsets and nothing converts it",
  "onnx/adapter": "an operator does not have the form that its opset says, so that it cannot be converted",
  "onnx/opset-too-low": "the model needs a newer opset than asked for",
} as const;

export type Code = keyof typeof codes;

export const fail = (code: Code, message: string, more: { hint?: string; location?: Location; cause?: unknown } = {}) =>
  failure(code, message, more);
