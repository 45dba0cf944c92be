import type { Dim, ValueType } from "@pare/core";
import { codeOf, dtypeOf } from "@pare/ops/dtype-codes";
import type { Message } from "./proto.ts";

type TypeProto = Message<"TypeProto">;

/** What the IR makes of a type, and whether it holds all that the message says. */
export interface ReadType {
  readonly type?: ValueType;
  readonly whole: boolean;
}

/** A type of the IR from its message; none where the message names no element type that ONNX knows. */
export function readType(p: TypeProto): ReadType {
  let whole = true;
  const note = (message: object, ...known: string[]) => {
    for (const key of Object.keys(message)) if (!known.includes(key)) whole = false;
  };
  const dim = (d: Message<"Dimension">): Dim => {
    note(d, "dim_value", "dim_param");
    if (typeof d.dim_value === "number" && d.dim_value >= 0) return d.dim_value;
    if (d.dim_param) return d.dim_param;
    if (d.dim_value !== undefined || d.dim_param !== undefined) whole = false;
    return null;
  };
  const convert = (t: TypeProto): ValueType | undefined => {
    note(t, "tensor_type", "sparse_tensor_type", "sequence_type", "optional_type", "map_type", "opaque_type");
    const dense = t.tensor_type ?? t.sparse_tensor_type;
    if (dense) {
      note(dense, "elem_type", "shape");
      if (dense.shape) note(dense.shape, "dim");
      const dtype = dtypeOf(dense.elem_type);
      if (!dtype) return undefined;
      const shape = dense.shape && (dense.shape.dim ?? []).map(dim);
      return { kind: t.tensor_type ? "tensor" : "sparse", dtype, ...(shape ? { shape } : {}) };
    }
    const inner = t.sequence_type ?? t.optional_type;
    if (inner) {
      note(inner, "elem_type");
      const element = inner.elem_type && convert(inner.elem_type);
      if (inner.elem_type && !element) whole = false;
      return { kind: t.sequence_type ? "sequence" : "optional", ...(element ? { element } : {}) };
    }
    if (t.map_type) {
      note(t.map_type, "key_type", "value_type");
      const key = dtypeOf(t.map_type.key_type);
      if (!key) return undefined;
      const value = t.map_type.value_type && convert(t.map_type.value_type);
      if (t.map_type.value_type && !value) whole = false;
      return { kind: "map", key, ...(value ? { value } : {}) };
    }
    if (!t.opaque_type) return undefined;
    note(t.opaque_type, "domain", "name");
    return { kind: "opaque", domain: t.opaque_type.domain ?? "", name: t.opaque_type.name ?? "" };
  };
  const type = convert(p);
  return { ...(type ? { type } : {}), whole: whole && type !== undefined };
}

/** The message of a type. */
export function typeProto(t: ValueType): TypeProto {
  switch (t.kind) {
    case "tensor":
    case "sparse": {
      const dense = { elem_type: codeOf(t.dtype), ...(t.shape ? { shape: shapeProto(t.shape) } : {}) };
      return t.kind === "tensor" ? { tensor_type: dense } : { sparse_tensor_type: dense };
    }
    case "sequence":
    case "optional": {
      const inner = t.element ? { elem_type: typeProto(t.element) } : {};
      return t.kind === "sequence" ? { sequence_type: inner } : { optional_type: inner };
    }
    case "map":
      return { map_type: { key_type: codeOf(t.key), ...(t.value ? { value_type: typeProto(t.value) } : {}) } };
    case "opaque":
      return { opaque_type: { ...(t.domain ? { domain: t.domain } : {}), ...(t.name ? { name: t.name } : {}) } };
    default:
      return t satisfies never;
  }
}

const shapeProto = (shape: readonly Dim[]): Message<"TensorShapeProto"> =>
  shape.length === 0
    ? {}
    : { dim: shape.map((d) => (d === null ? {} : typeof d === "number" ? { dim_value: d } : { dim_param: d })) };

/** Whether two types are the same type. */
export const sameType = (a: ValueType | undefined, b: ValueType | undefined): boolean =>
  JSON.stringify(a) === JSON.stringify(b);
