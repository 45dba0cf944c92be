import { type EnumName, enumBases, enums, type TableName, tables, type UnionName, unions } from "./schema.gen.ts";

/** Numbers as flatbuffers stores them. */
export type Scalar = "bool" | "i8" | "u8" | "i16" | "u16" | "i32" | "u32" | "i64" | "u64" | "f32" | "f64";

export const scalarWidth: Readonly<Record<Scalar, 1 | 2 | 4 | 8>> = {
  bool: 1,
  i8: 1,
  u8: 1,
  i16: 2,
  u16: 2,
  i32: 4,
  u32: 4,
  i64: 8,
  u64: 8,
  f32: 4,
  f64: 8,
};

/** The type of a field or of a vector's elements. */
export type Kind =
  | { readonly is: "scalar"; readonly scalar: Scalar; readonly names?: readonly string[] }
  | { readonly is: "string" }
  | { readonly is: "table"; readonly table: TableName };

/** A field of a table. `id` is its place in the vtable; a union has its type there and its value after it. */
export type Field = { readonly name: string; readonly id: number } & (
  | (Extract<Kind, { is: "scalar" }> & { readonly fallback: number })
  | Exclude<Kind, { is: "scalar" }>
  | { readonly is: "vector"; readonly of: Kind; readonly align: number }
  | { readonly is: "union"; readonly members: readonly TableName[] }
  | { readonly is: "payload" }
);

/** The fields of a table, and how many places its vtable has. */
export interface Plan {
  readonly table: TableName;
  readonly fields: readonly Field[];
  readonly ids: number;
}

const kindOf = (type: string): Kind => {
  if (type in scalarWidth) return { is: "scalar", scalar: type as Scalar };
  if (type in enums)
    return { is: "scalar", scalar: enumBases[type as EnumName] as Scalar, names: enums[type as EnumName] };
  return type === "string" ? { is: "string" } : { is: "table", table: type as TableName };
};

function makePlan(table: TableName): Plan {
  let ids = 0;
  const fields = tables[table]
    .split(" ")
    .filter(Boolean)
    .map((text): Field => {
      const [, name, vector, type, align, fallback] = /^(\w+):(\[?)(\w+)\]?(?:@(\d+))?(?:=(.+))?$/.exec(text)!;
      const base = { name: name!, id: ids++ };
      if (type === "payload") return { ...base, is: "payload" };
      if (type! in unions) {
        ids++;
        return { ...base, is: "union", members: unions[type as UnionName] };
      }
      const kind = kindOf(type!);
      if (vector) {
        const width = kind.is === "scalar" ? scalarWidth[kind.scalar] : 4;
        return { ...base, is: "vector", of: kind, align: Math.max(4, width, Number(align ?? 0)) };
      }
      return kind.is === "scalar" ? { ...base, ...kind, fallback: Number(fallback ?? 0) } : { ...base, ...kind };
    });
  return { table, fields, ids };
}

const made = new Map<TableName, Plan>();

/** How a table is laid out, from its line in the schema. */
export function planOf(table: TableName): Plan {
  let plan = made.get(table);
  if (!plan) made.set(table, (plan = makePlan(table)));
  return plan;
}

/** Bytes that a field takes in its table; a union takes a byte and an offset. */
export const widthOf = (kind: Kind): 1 | 2 | 4 | 8 => (kind.is === "scalar" ? scalarWidth[kind.scalar] : 4);
