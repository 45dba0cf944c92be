import { type Diagnostic, type Node, placeOf, problem, type ValueType } from "@pare/core";
import { declaredType } from "./declared.ts";
import { type OperatorSchema, type Parameter, schemaOf, typeName } from "./table.ts";

/** What is known of the type of a value, by its name. */
export type TypeOf = (value: string) => ValueType | undefined;

/**
 * Everything in which a node of the standard domain differs from what its operator is at an opset version: number of
 * inputs and outputs, attributes that are unknown, missing or of another type, and, where `typeOf` knows, element types.
 * Empty when all is well, and for nodes of other domains.
 */
export const checkNode = (node: Node, version: number, typeOf: TypeOf = () => undefined): Diagnostic[] =>
  node.domain === "" ? checkNamed(node, version, (value, side) => typeNameOf(node, value, side, typeOf)) : [];

export type Side = "inputs" | "outputs";

/** The name of the type of a value, so far as it is known or the node itself says it. */
export const typeNameOf = (node: Node, value: string, side: Side, typeOf: TypeOf): string | undefined =>
  typeName((side === "outputs" && declaredType(node)) || typeOf(value));

/** The same where types are known by their names. */
export function checkNamed(
  node: Node,
  version: number,
  nameOf: (value: string, side: Side) => string | undefined,
): Diagnostic[] {
  const problems: Diagnostic[] = [];
  const fault = (code: string, message: string, value?: string) =>
    problems.push(problem(`ops/${code}`, message, { location: { ...placeOf(node), ...(value && { value }) } }));
  const schema = schemaOf(node.op, version);
  if (!schema) {
    fault("unknown-operator", `opset ${version} has no operator ${node.op}`);
    return problems;
  }
  if (schema.deprecated) fault("deprecated", `${node.op} is deprecated since opset ${schema.since}`);
  checkArity(node.inputs, schema.inputs, "input", schema, fault);
  checkArity(node.outputs, schema.outputs, "output", schema, fault);
  for (const [name, a] of node.attributes) {
    const known = schema.attributes.get(name);
    const type = a.type === "ref" ? a.of : a.type;
    if (!known) fault("unknown-attribute", `${node.op} of opset ${version} has no attribute ${name}`);
    else if (known.type !== type) fault("attribute-type", `${name} of ${node.op} is ${type}, not ${known.type}`);
  }
  for (const { name, required } of schema.attributes.values())
    if (required && !node.attributes.has(name)) fault("missing-attribute", `${node.op} lacks its attribute ${name}`);
  checkTypes(node, schema, nameOf, fault);
  return problems;
}

type Fault = (code: string, message: string, value?: string) => void;

function checkArity(
  values: readonly string[],
  parameters: readonly Parameter[],
  what: "input" | "output",
  { op, since }: OperatorSchema,
  fault: Fault,
): void {
  const last = parameters.at(-1);
  const most = last?.kind === "variadic" ? Number.POSITIVE_INFINITY : parameters.length;
  if (values.length > most)
    fault("arity", `${op} of opset ${since} has ${values.length} ${what}s where ${most} belong`);
  parameters.forEach((p, i) => {
    const given = p.kind === "variadic" ? values.slice(i).filter(Boolean).length : values[i] ? 1 : 0;
    // An output that is not wanted may be left unnamed where others follow.
    const unwanted = what === "output" && values.length > i;
    if (given < p.min && !unwanted) fault("arity", `${op} of opset ${since} lacks its ${what} ${p.name}`);
  });
}

/** Values with the parameter that each stands for. */
export function* matched(
  values: readonly string[],
  parameters: readonly Parameter[],
): Generator<readonly [value: string, parameter: Parameter]> {
  for (const [i, value] of values.entries()) {
    const last = parameters.at(-1);
    const parameter = parameters[i] ?? (last?.kind === "variadic" ? last : undefined);
    if (value !== "" && parameter) yield [value, parameter];
  }
}

/** What a type variable, or an element type in its place, may be. */
export const allowedTypes = (schema: OperatorSchema, { type }: Parameter): ReadonlySet<string> =>
  schema.types.get(type) ?? new Set([type]);

function checkTypes(
  node: Node,
  schema: OperatorSchema,
  nameOf: (value: string, side: Side) => string | undefined,
  fault: Fault,
): void {
  const bound = new Map<string, string>();
  for (const side of ["inputs", "outputs"] as const)
    for (const [value, p] of matched(node[side], schema[side])) {
      const type = nameOf(value, side);
      if (type === undefined) continue;
      const what = `${p.name} of ${schema.op} of opset ${schema.since}`;
      if (!allowedTypes(schema, p).has(type)) fault("element-type", `${what} cannot be ${type}`, value);
      if (!p.homogeneous) continue;
      const other = bound.get(p.type);
      if (other === undefined) bound.set(p.type, type);
      else if (other !== type) fault("element-type", `${what} is ${type} where others are ${other}`, value);
    }
}
