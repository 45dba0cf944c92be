/**
 * Operators said in words of others: the bodies that ONNX gives to those that came late, and changes of versions taken
 * back. Writers of old opsets use it, and formats and passes that lack an operator.
 */
export { type Builder, builderOf, type Lower, type Scope, toType } from "./lower/builder.ts";
export { type NodeContext, nodeContext } from "./lower/context.ts";
export { type DecomposeOptions, decomposable, decompose } from "./lower/decompose.ts";
export { lowerings } from "./lower/table.ts";
