import type { DType } from "@pare/core";
import type { Builder } from "@pare/ops/lower";
import { checkNode, type OperatorSchema, type Parameter, schemaOf, typeName } from "@pare/ops/schema";

/** Types that hold all numbers of a type, the closest first. */
const wider: { readonly [D in DType]?: readonly DType[] } = {
  bfloat16: ["float32", "float64"],
  float16: ["float32", "float64"],
  float32: ["float64"],
  bool: ["uint8", "int32"],
  int8: ["int32", "int64"],
  uint8: ["int32", "int64"],
  int16: ["int32", "int64"],
  uint16: ["int32", "int64"],
  uint32: ["int64"],
};

/** The closest type that holds all of `dtypes` and is allowed. */
const common = (dtypes: readonly DType[], allowed: ReadonlySet<string>): DType | undefined =>
  [dtypes[0]!, ...(wider[dtypes[0]!] ?? [])].find(
    (to) => allowed.has(to) && dtypes.every((d) => d === to || wider[d]?.includes(to)),
  );

/** Computes a node in wider element types where a version does not take those it has; the results get theirs back. */
export function widen(b: Builder, version: number): void {
  const n = b.node;
  const schema = schemaOf(n.op, version) ?? b.refuse("nothing older says the same");
  const problems = checkNode(n, version, b.typeOf);
  const other = problems.find((d) => d.code !== "ops/element-type");
  if (other) b.refuse(other.message);
  for (const v of [...n.inputs, ...n.outputs].filter(Boolean)) {
    const type = b.typeOf(v) ?? b.refuse(`the type of ${v} is not known`);
    if (type.kind !== "tensor") b.refuse(`it could not have ${typeName(type) ?? `the ${type.kind} ${v}`} yet`);
  }
  if (problems.length === 0) b.refuse(`until opset ${version} it meant something else`);
  const types = typesOf(b, schema);
  const to = (v: string, p: Parameter | undefined): DType => {
    const now = b.dtype(v);
    if (!p || schema.types.has(p.type)) return types.get(p?.type ?? "") ?? now;
    const then = p.type as DType;
    return then === now || wider[now]?.includes(then) ? then : b.refuse(`${p.name} cannot be ${now}`);
  };
  const inputs = n.inputs.map((v, i) => v && b.cast(v, to(v, parameterAt(schema.inputs, i))));
  const narrow = n.outputs.filter((v, i) => v && to(v, parameterAt(schema.outputs, i)) !== b.dtype(v));
  const says = ["to", "dtype", "output_dtype", "output_datatype", "value"].some((name) => n.attributes.has(name));
  if (says && narrow.length > 0) b.refuse(`there is no ${b.dtype(narrow[0]!)} in it yet`);
  const back = narrow.map((v) => ({ v, wide: b.fresh("wide"), dtype: b.dtype(v) }));
  b.keep({ inputs, outputs: n.outputs.map((v) => back.find((w) => w.v === v)?.wide ?? v) });
  for (const { v, wide, dtype } of back) b.castTo(wide, dtype, v);
}

/** The element type that each type variable of a version stands for, where that is not the one it has. */
function typesOf(b: Builder, schema: OperatorSchema): Map<string, DType> {
  const groups = new Map<string, DType[]>();
  const gather = (values: readonly string[], parameters: readonly Parameter[]) =>
    values.forEach((v, i) => {
      const p = parameterAt(parameters, i);
      if (v && p?.homogeneous && schema.types.has(p.type))
        groups.set(p.type, [...(groups.get(p.type) ?? []), b.dtype(v)]);
    });
  gather(b.node.inputs, schema.inputs);
  gather(b.node.outputs, schema.outputs);
  const types = new Map<string, DType>();
  for (const [variable, dtypes] of groups) {
    const unlike = [...new Set(dtypes)];
    const found = [
      ...unlike.map((_, i) => common([...unlike.slice(i), ...unlike.slice(0, i)], schema.types.get(variable)!)),
    ].find(Boolean);
    types.set(variable, found ?? b.refuse(`its element type ${unlike.join(", ")} came later`));
  }
  return types;
}

function parameterAt(parameters: readonly Parameter[], index: number): Parameter | undefined {
  const last = parameters.at(-1);
  return parameters[index] ?? (last?.kind === "variadic" ? last : undefined);
}
