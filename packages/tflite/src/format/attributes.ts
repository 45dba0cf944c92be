import { type Attribute, attr, type Graph } from "@pare/core";
import { graphFieldsOf } from "./graph-fields.ts";
import { planOf } from "./plan.ts";
import type { TableName } from "./schema.gen.ts";

type Options = Readonly<Record<string, unknown>>;

/** The options of an operator as attributes by the same names; graphs stand in the attributes that name them by index. */
export function attributesOf(
  table: TableName,
  options: Options,
  graphAt: (index: number) => Graph,
): Map<string, Attribute> {
  const inside = new Set(graphFieldsOf(table));
  const attributes = new Map<string, Attribute>();
  for (const field of planOf(table).fields) {
    const value = options[field.name];
    if (inside.has(field.name)) {
      if (field.is === "vector") {
        if (value !== undefined)
          attributes.set(field.name, { type: "graphs", value: (value as readonly number[]).map(graphAt) });
      } else attributes.set(field.name, attr.graph(graphAt(Number(value ?? 0))));
    } else if (value !== undefined) attributes.set(field.name, attributeOf(field, value));
  }
  return attributes;
}

type Field = ReturnType<typeof planOf>["fields"][number];

function attributeOf(field: Field, value: unknown): Attribute {
  if (value instanceof Uint8Array) return { type: "string", value };
  if (Array.isArray(value)) {
    const isFloat = field.is === "vector" && field.of.is === "scalar" && field.of.scalar === "f32";
    return isFloat ? attr.floats(value) : attr.ints(value.map((v) => (typeof v === "boolean" ? Number(v) : v)));
  }
  if (typeof value === "string") return attr.string(value);
  if (field.is === "scalar" && field.scalar === "f32") return attr.float(value as number);
  return attr.int(typeof value === "boolean" ? Number(value) : (value as number));
}

/** The options that {@link attributesOf} made attributes of. */
export function optionsIn(
  table: TableName,
  attributes: ReadonlyMap<string, Attribute>,
  indexOf: (graph: Graph) => number,
): Options {
  const options: Record<string, unknown> = {};
  for (const field of planOf(table).fields) {
    const a = attributes.get(field.name);
    if (!a || a.type === "ref") continue;
    const isBool = field.is === "scalar" && field.scalar === "bool";
    if (a.type === "graph") options[field.name] = indexOf(a.value);
    else if (a.type === "graphs") options[field.name] = a.value.map(indexOf);
    else if (a.type === "int" && isBool) options[field.name] = a.value !== 0;
    else if (a.type === "ints" && field.is === "vector" && field.of.is === "scalar" && field.of.scalar === "bool")
      options[field.name] = a.value.map((v) => v !== 0);
    else options[field.name] = a.value;
  }
  return options;
}
