import { constantNodeValue, type GraphView, IR_OPSET, type Model, type Node, type ValueType, viewOf } from "@pare/core";
import { breaks } from "./breaks.ts";
import { allowedTypes, checkNamed, matched, type Side, type TypeOf, typeNameOf } from "./check.ts";
import { declaredType } from "./declared.ts";
import { type OperatorSchema, schemaOf, typeName, versionsOf } from "./table.ts";

/** The lowest opset that is considered: 7 brought the broadcasting that all later ones have. */
export const LOWEST_OPSET = 7;

/**
 * The lowest opset version, 7 at least, at which a node of the standard domain that is right at version `from`, by default
 * the IR's, is the same in every word and means the same. A type that is not known may be any of `possible`, by default all:
 * versions that take fewer are not gone to.
 */
export function lowestVersion(
  node: Node,
  typeOf: TypeOf = () => undefined,
  from = IR_OPSET,
  possible?: ReadonlySet<string>,
): number {
  if (node.domain !== "") return LOWEST_OPSET;
  let since = schemaOf(node.op, from)?.since;
  if (since === undefined) return from;
  for (const older of versionsOf(node.op).reverse()) {
    if (older >= since) continue;
    if (since <= LOWEST_OPSET || breaks.get(node.op)?.get(since)?.(node, typeOf)) break;
    const [then, now] = [schemaOf(node.op, older)!, schemaOf(node.op, since)!];
    const nameOf = namesIn(node, now, typeOf);
    if (checkNamed(node, older, nameOf).length > 0 || losesTypes(node, then, now, nameOf, possible)) break;
    if (changesDefault(node, then, now)) break;
    since = older;
  }
  return Math.max(since, LOWEST_OPSET);
}

/** Names of types, also of values that share a type variable with one whose type is known. */
function namesIn(node: Node, schema: OperatorSchema, typeOf: TypeOf): NameOf {
  const bound = new Map<string, string>();
  const shared = new Map<string, string>();
  for (const side of sides)
    for (const [value, p] of matched(node[side], schema[side])) {
      if (!p.homogeneous) continue;
      const name = typeNameOf(node, value, side, typeOf);
      if (name !== undefined) bound.set(p.type, name);
      shared.set(value, p.type);
    }
  return (value, side) => typeNameOf(node, value, side, typeOf) ?? bound.get(shared.get(value) ?? "");
}

type NameOf = (value: string, side: Side) => string | undefined;
const sides = ["inputs", "outputs"] as const;

/** Whether a value whose type is not known could have one that the older version does not take. */
const losesTypes = (
  node: Node,
  older: OperatorSchema,
  newer: OperatorSchema,
  nameOf: NameOf,
  possible: ReadonlySet<string> | undefined,
): boolean =>
  sides.some((side) => {
    const before = [...matched(node[side], older[side])];
    return [...matched(node[side], newer[side])].some(([value, p], i) => {
      const q = before[i]?.[1];
      if (!q || nameOf(value, side) !== undefined) return false;
      const allowed = allowedTypes(older, q);
      const lost = [...allowedTypes(newer, p)].some((type) => (possible?.has(type) ?? true) && !allowed.has(type));
      return lost || separates(newer, older, p.type, q.type);
    });
  });

/** Whether what was one type variable for several values has become several. */
function separates(newer: OperatorSchema, older: OperatorSchema, now: string, then: string): boolean {
  const sharers = (s: OperatorSchema, name: string) =>
    [...s.inputs, ...s.outputs].filter((p) => p.type === name).length;
  return sharers(older, then) > sharers(newer, now);
}

/** Whether an attribute that the node leaves out has another default in the older version. */
const changesDefault = (node: Node, older: OperatorSchema, newer: OperatorSchema): boolean =>
  [...newer.attributes.values()].some(({ name, default: now }) => {
    const then = older.attributes.get(name);
    return !node.attributes.has(name) && then !== undefined && String(then.default) !== String(now);
  });

/** What is known of the type of a value that a graph sees. */
export type TypesOf = (view: GraphView, value: string) => ValueType | undefined;

/** The same with the types of constants. */
export const withConstants =
  (view: GraphView, typeOf: TypesOf): TypeOf =>
  (value) => {
    const constant = value === "" ? undefined : view.constant(value);
    return constant ? { kind: "tensor", dtype: constant.dtype, shape: constant.shape } : typeOf(view, value);
  };

/**
 * Names of the types that values of a model have, as far as it shows. Where a type is not known, behind an operator of
 * another domain say, it is taken to be one of these.
 */
export function typesIn(model: Model, typeOf: TypesOf): ReadonlySet<string> {
  const found = new Set(["float32", "int64", "bool"]);
  const add = (type: ValueType | undefined) => {
    const name = typeName(type);
    if (name !== undefined) found.add(name);
  };
  for (const view of viewOf(model).graphs) {
    const known = withConstants(view, typeOf);
    for (const v of [...view.graph.inputs, ...view.graph.types.values()]) add(v.type);
    for (const t of view.graph.weights.values()) found.add(t.dtype);
    for (const n of view.graph.nodes) {
      add(n.domain === "" ? declaredType(n) : undefined);
      const constant = constantNodeValue(n);
      if (constant) found.add(constant.dtype);
      for (const v of n.outputs) add(v === "" ? undefined : known(v));
    }
  }
  return found;
}

/**
 * The lowest opset version of the standard domain at which a model of the IR's opset, functions apart, is the same in
 * every word and means the same, and a node for which it cannot be lower.
 */
export function lowestOpset(
  model: Model,
  typeOf: TypesOf = (view, value) => view.definer(value)?.info(value)?.type,
): { readonly version: number; readonly because?: Node } {
  let version = LOWEST_OPSET;
  let because: Node | undefined;
  const possible = typesIn(model, typeOf);
  for (const view of viewOf(model).graphs) {
    const known = withConstants(view, typeOf);
    for (const n of view.graph.nodes) {
      const lowest = lowestVersion(n, known, IR_OPSET, possible);
      if (lowest > version) [version, because] = [lowest, n];
    }
  }
  return { version, ...(because && { because }) };
}
