export { type ByteRange, type ByteSource, checkRange, type FileSink, type FileWriter, memorySource } from "./bytes.ts";
export * from "./derive.ts";
export {
  type Diagnostic,
  failure,
  formatDiagnostic,
  formatLocation,
  isPareError,
  type Location,
  PareError,
  problem,
} from "./diagnostic.ts";
export {
  byteLengthOf,
  bytesOf,
  type DType,
  dtypeBits,
  elementCount,
  isFloat,
  type StorageArray,
  type StorageOf,
  storageView,
} from "./dtype.ts";
export { type Edit, edit } from "./edit.ts";
export type * from "./format.ts";
export { readsOf } from "./local.ts";
export {
  type Attribute,
  type AttributeKind,
  type AttributeValue,
  attr,
  attribute,
  type Dim,
  type Extra,
  type FunctionDef,
  type Graph,
  graph,
  type Int,
  IR_OPSET,
  intAttribute,
  intsAttribute,
  labelOf,
  type Model,
  model,
  type Node,
  node,
  operatorOf,
  placeOf,
  type SparseTensor,
  subgraphsOf,
  type ValueInfo,
  type ValueType,
  value,
} from "./model.ts";
export { inOrder } from "./order.ts";
export * from "./pass.ts";
export { renameReads } from "./rename.ts";
export * from "./rewrite.ts";
export * from "./run.ts";
export type { PrepareOptions, RunOptions as SessionRunOptions, Runtime, Session, Values } from "./runtime.ts";
export * from "./samples.ts";
export type { StandardSchemaV1 } from "./standard-schema.ts";
export type * from "./store.ts";
export type * from "./target.ts";
export {
  CHUNK_BYTES,
  chunksOf,
  dataOf,
  lazyTensor,
  RESIDENT_LIMIT,
  type ResidentTensor,
  resident,
  type Tensor,
  tensor,
} from "./tensor.ts";
export { verify } from "./verify.ts";
export {
  constantNodeValue,
  constantOf,
  type GraphView,
  type ModelView,
  type Use,
  viewOf,
} from "./view.ts";
export * from "./weight.ts";
