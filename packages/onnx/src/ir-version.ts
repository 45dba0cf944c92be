import { type DType, type Model, type Tensor, type ValueType, viewOf } from "@pare/core";

/** The first IR version of the ONNX release that brought an opset, for opsets that need more than 8 (onnx.helper.VERSION_TABLE). */
const byOpset: readonly (readonly [opset: number, version: number])[] = [
  [25, 13],
  [24, 12],
  [23, 11],
  [21, 10],
  [19, 9],
];

const byType: { readonly [D in DType]?: number } = {
  float8e4m3fn: 9,
  float8e4m3fnuz: 9,
  float8e5m2: 9,
  float8e5m2fnuz: 9,
  int4: 10,
  uint4: 10,
  float4e2m1: 11,
  float8e8m0: 12,
  int2: 13,
  uint2: 13,
};

/** The IR version to write: the lowest that the opset and the element types need, at least 8. Engines refuse newer ones. */
export function irVersionOf(model: Model): number {
  let version = 8;
  const atLeast = (v: number | undefined) => {
    if (v !== undefined && v > version) version = v;
  };
  const opset = model.opsets.get("") ?? 0;
  atLeast(byOpset.find(([from]) => opset >= from)?.[1]);
  if (model.functions.some((f) => f.defaults.size > 0)) atLeast(9);
  if (model.functions.some((f) => f.overload !== "")) atLeast(10);
  const type = (t: ValueType | undefined) => {
    if (t?.kind === "tensor") atLeast(byType[t.dtype]);
  };
  const tensor = (t: Tensor) => atLeast(byType[t.dtype]);
  for (const { graph: g } of viewOf(model).graphs) {
    for (const t of g.weights.values()) tensor(t);
    for (const v of [...g.inputs, ...g.outputs, ...g.types.values()]) type(v.type);
    for (const n of g.nodes)
      for (const a of n.attributes.values()) {
        if (a.type === "tensor") tensor(a.value);
        else if (a.type === "type") type(a.value);
      }
  }
  return version;
}
