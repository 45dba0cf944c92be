export { outputDTypes } from "./infer/dtype.ts";
export { checkNode, type TypeOf } from "./schema/check.ts";
export { LOWEST_OPSET, lowestOpset, lowestVersion, type TypesOf, typesIn, withConstants } from "./schema/lowest.ts";
export { randomOperators } from "./schema/random.ts";
export {
  type AttributeSchema,
  type OperatorSchema,
  operatorNames,
  type Parameter,
  schemaOf,
  typeName,
  versionsOf,
} from "./schema/table.ts";
