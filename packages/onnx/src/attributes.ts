import type { Attribute, AttributeKind } from "@pare/core";
import type { Message } from "./proto.ts";

type AttributeProto = Message<"AttributeProto">;

/** Kinds of attributes with their number in `AttributeProto.AttributeType` and the field that holds the value. */
export const attributeKinds = {
  float: { code: 1, field: "f" },
  int: { code: 2, field: "i" },
  string: { code: 3, field: "s" },
  tensor: { code: 4, field: "t" },
  graph: { code: 5, field: "g" },
  floats: { code: 6, field: "floats" },
  ints: { code: 7, field: "ints" },
  strings: { code: 8, field: "strings" },
  tensors: { code: 9, field: "tensors" },
  graphs: { code: 10, field: "graphs" },
  sparse: { code: 11, field: "sparse_tensor" },
  sparses: { code: 12, field: "sparse_tensors" },
  type: { code: 13, field: "tp" },
  types: { code: 14, field: "type_protos" },
} as const satisfies Record<AttributeKind, { code: number; field: keyof AttributeProto }>;

const byCode = new Map<number, AttributeKind>(
  Object.entries(attributeKinds).map(([kind, { code }]) => [code, kind as AttributeKind]),
);

/** The kind that a message says, or, in files of IR version 1, that its only field says. */
export function kindOf(p: AttributeProto): AttributeKind | undefined {
  if (p.type) return byCode.get(p.type);
  const filled = Object.entries(attributeKinds).filter(([, { field }]) => p[field] !== undefined);
  return filled.length === 1 ? (filled[0]![0] as AttributeKind) : undefined;
}

/** What the IR keeps of a message that it does not model, under the key of this format. */
export function keep(rest: object): { extra?: Attribute["extra"] & object } {
  const { doc_string, metadata_props, ...onnx } = rest as Record<string, unknown>;
  const notes = {
    ...(doc_string !== undefined && { doc_string }),
    ...(metadata_props !== undefined && { metadata_props }),
  };
  const parts = Object.entries({ onnx, notes }).filter(([, fields]) => Object.keys(fields).length > 0);
  return parts.length > 0 ? { extra: Object.fromEntries(parts) } : {};
}

/** What was kept. */
export const kept = (extra: Readonly<Record<string, unknown>> | undefined): Readonly<Record<string, unknown>> => ({
  ...(extra?.["onnx"] as object | undefined),
  ...(extra?.["notes"] as object | undefined),
});
