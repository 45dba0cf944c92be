import { type AttributeKind, type DType, failure, type ValueType } from "@pare/core";
import { dtypeOfCode } from "../dtype-codes.ts";
import { operators, pool } from "./table.gen.ts";

/** One input or output of an operator. */
export interface Parameter {
  readonly name: string;
  /** The name of a type variable of the operator, or an element type. */
  readonly type: string;
  /** A variadic one, always the last, stands for any number of values, at least `min`. */
  readonly kind: "single" | "optional" | "variadic";
  readonly min: number;
  /** Whether all values of a variadic one have one type. */
  readonly homogeneous: boolean;
}

/** One attribute of an operator. */
export interface AttributeSchema {
  readonly name: string;
  readonly type: AttributeKind;
  readonly required: boolean;
  readonly default?: number | string | readonly (number | string)[];
}

/** One operator of the ONNX standard domain as one version defined it. */
export interface OperatorSchema {
  readonly op: string;
  /** The opset version that brought this definition. */
  readonly since: number;
  readonly deprecated: boolean;
  /** Whether the standard gives it a body of simpler operators. */
  readonly isFunction: boolean;
  readonly inputs: readonly Parameter[];
  readonly outputs: readonly Parameter[];
  readonly attributes: ReadonlyMap<string, AttributeSchema>;
  /** What each type variable may be: `float32`, `seq(float32)`, `optional(float32)`, … as {@link typeName} gives it. */
  readonly types: ReadonlyMap<string, ReadonlySet<string>>;
}

/** `float32`, `seq(int64)`: the name of a type without its shape; undefined where the type is not wholly known. */
export function typeName(type: ValueType | undefined): string | undefined {
  switch (type?.kind) {
    case "tensor":
      return type.dtype;
    case "sequence":
    case "optional": {
      const element = typeName(type.element);
      return element && `${type.kind === "sequence" ? "seq" : "optional"}(${element})`;
    }
    default:
      return undefined;
  }
}

// The table: a line for each operator, `Name|version|version…`; a version is `since` with `d` if deprecated and `f` if a
// function, `;inputs;outputs;attributes;types`, each the number of a line of the pool in base 36, or empty.
let parts: readonly string[] | undefined;
let lines: ReadonlyMap<string, readonly string[]> | undefined;
const made = new Map<string, OperatorSchema>();
/** The same by the version that was asked for. */
const found = new Map<string, OperatorSchema>();

const part = (index: string): readonly string[] =>
  index === "" ? [] : (parts ??= pool.split("\n"))[Number.parseInt(index, 36)]!.split(",");

function versionsIn(op: string): readonly string[] {
  lines ??= new Map(
    operators.split("\n").map((line) => {
      const [name, ...versions] = line.split("|");
      return [name!, versions];
    }),
  );
  return lines.get(op) ?? [];
}

/** Names of all operators of the standard domain. */
export function operatorNames(): string[] {
  versionsIn("");
  return [...lines!.keys()];
}

/** Opset versions that defined an operator of the standard domain, ascending; none where there is no such operator. */
export const versionsOf = (op: string): number[] => versionsIn(op).map((text) => Number.parseInt(text, 10));

/**
 * The definition of an operator of the standard domain that holds at an opset version; undefined where it has none yet.
 * (ONNX 1.22: opsets 1 to 27.)
 * @example schemaOf("Conv", 27)?.attributes.get("group")?.default // 1
 */
export function schemaOf(op: string, version: number): OperatorSchema | undefined {
  const asked = `${op}@${version}`;
  const known = found.get(asked);
  if (known) return known;
  const text = versionsIn(op).findLast((v) => Number.parseInt(v, 10) <= version);
  if (text === undefined) return undefined;
  const key = `${op}|${text}`;
  let schema = made.get(key);
  if (!schema) made.set(key, (schema = parse(op, text)));
  found.set(asked, schema);
  return schema;
}

function parse(op: string, text: string): OperatorSchema {
  const [head, inputs, outputs, attributes, types] = text.split(";") as [string, string, string, string, string];
  return {
    op,
    since: Number.parseInt(head, 10),
    deprecated: head.includes("d"),
    isFunction: head.endsWith("f"),
    inputs: part(inputs).map(parameter),
    outputs: part(outputs).map(parameter),
    attributes: new Map(
      part(attributes)
        .map(attributeSchema)
        .map((a) => [a.name, a]),
    ),
    types: new Map(
      part(types).map((pair) => {
        const [name, set] = pair.split("=") as [string, string];
        return [name, typeSet(part(set)[0]!)];
      }),
    ),
  };
}

function parameter(text: string): Parameter {
  const [, name, type, mark] = /^([^:]*):(=?\w+)([?*+].*)?$/.exec(text)!;
  const variadic = mark !== undefined && mark !== "?";
  return {
    name: name!,
    type: type!.startsWith("=") ? dtypeOfCode(Number.parseInt(type!.slice(1), 36)) : type!,
    kind: mark === "?" ? "optional" : variadic ? "variadic" : "single",
    min: variadic ? Number(mark.slice(1)) : mark === "?" ? 0 : 1,
    homogeneous: !mark?.startsWith("+"),
  };
}

const attributeTypes: ReadonlyMap<string, AttributeKind> = new Map([
  ["f", "float"],
  ["i", "int"],
  ["s", "string"],
  ["t", "tensor"],
  ["g", "graph"],
  ["p", "sparse"],
  ["y", "type"],
]);

function attributeSchema(text: string): AttributeSchema {
  const [, name, code, required, value] = /^([^:]*):(\w)(!?)(?:=(.*))?$/s.exec(text)!;
  const one = attributeTypes.get(code!.toLowerCase());
  if (!one) throw failure("ops/table", `the table of schemas has an attribute ${text}`);
  const many = code !== code!.toLowerCase();
  const type = (many ? `${one}s` : one) as AttributeKind;
  const item = (t: string) => (one === "string" ? t : Number(t));
  return {
    name: name!,
    type,
    required: required === "!",
    ...(value !== undefined && { default: many ? (value === "" ? [] : value.split("/").map(item)) : item(value) }),
  };
}

const wrappers: ReadonlyMap<string, (name: DType) => string> = new Map([
  ["t", (name) => name],
  ["s", (name) => `seq(${name})`],
  ["o", (name) => `optional(${name})`],
  ["q", (name) => `optional(seq(${name}))`],
]);

/** A set of types, `t1a.s1`: kind, then element types as digits in base 36. */
const typeSet = (text: string): ReadonlySet<string> =>
  new Set(
    text.split(".").flatMap((group) => {
      const wrap = wrappers.get(group[0]!)!;
      return Array.from(group.slice(1), (digit) => wrap(dtypeOfCode(Number.parseInt(digit, 36))));
    }),
  );
