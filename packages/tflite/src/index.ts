export {
  hasOpenBatch,
  lowerToTflite,
  type TfliteLowering,
  type TfliteWriteOptions,
  tfliteExporter,
  writeTflite,
} from "./exporter.ts";
export { checkModel } from "./format/check.ts";
export type { DecodeOptions } from "./format/decode.ts";
export { type DocumentOptions, readDocument, type TfliteDocument, writeDocument } from "./format/document.ts";
export { dtypeOf, tensorTypeOf } from "./format/dtypes.ts";
export { modelBytes, readModel, writeModel } from "./format/files.ts";
export { fromCore, isTflite, tensorIndexOf } from "./format/from-core.ts";
export {
  importTflite,
  openTflite,
  type TfliteReadOptions,
  type TfliteSource,
  tfliteImporter,
} from "./format/importer.ts";
export {
  operator,
  type TfliteCode,
  type TfliteEnd,
  type TfliteGraph,
  type TfliteMetadata,
  type TfliteModel,
  type TfliteOperator,
  type TfliteSignature,
  type TfliteTensor,
} from "./format/model.ts";
export { type BuiltinOperator, type OptionsOf, optionsTableOf } from "./format/options.ts";
export type { Payload } from "./format/payload.ts";
export type { Enum, Tables, Union } from "./format/schema.gen.ts";
export { TFLITE_DOMAIN, toCore } from "./format/to-core.ts";
export type { Remaining } from "./layout/arrange.ts";
export { litertFloat } from "./target.ts";
