import { attr, constantOf, tensor } from "@pare/core";
import { type Adapter, arity, attributeOf, noAdapter, withAttributes, withInputs } from "./adapt.ts";

/** Opset 10 knows two ways to resize, which 11 calls asymmetric; nearest is rounded towards what is there. */
export const resize: Adapter = (n, ctx) => {
  arity(n, ctx, 2, 2);
  const scales = constantOf(ctx.view, n.inputs[1]!);
  const data = scales?.dtype === "float32" ? new Float32Array(scales.bytes.slice().buffer) : undefined;
  const nearest = (attributeOf(n, ctx, "mode", "string") ?? "nearest") === "nearest";
  const smaller = data?.some((s) => s < 1) ?? false;
  if (nearest && smaller && data?.some((s) => s > 1))
    throw noAdapter(ctx, n, "it makes one axis larger and another smaller");
  const changed = withAttributes(n, {
    coordinate_transformation_mode: attr.string("asymmetric"),
    nearest_mode: attr.string(smaller ? "ceil" : "floor"),
  });
  return withInputs(changed, [n.inputs[0], undefined, n.inputs[1]]);
};

export const upsampleScales: Adapter = (n, ctx) => {
  arity(n, ctx, 1, 1);
  const scales = attributeOf(n, ctx, "scales", "floats");
  if (!scales) throw noAdapter(ctx, n, "it has no scales");
  const rank = ctx.rank(n.inputs[0]!);
  if (rank !== undefined && scales.length !== rank)
    throw noAdapter(ctx, n, `it has ${scales.length} scales for ${rank} dimensions`);
  const made = ctx.constant(`${n.outputs[0]}_scales`, tensor("float32", [scales.length], scales));
  return withInputs(withAttributes(n, { scales: undefined }), [n.inputs[0], made]);
};

/** Until 12 an input that was not wanted was an empty tensor; from 13 on it is left out. */
export const resizeEmpty: Adapter = (n, ctx) => {
  arity(n, ctx, 1, 4);
  const empty = (v: string) => v !== "" && (ctx.view.constant(v)?.shape.includes(0) ?? false);
  const inputs = n.inputs.map((v, i) => (i > 0 && empty(v) ? "" : v));
  if (attributeOf(n, ctx, "coordinate_transformation_mode", "string") !== "tf_half_pixel_for_nn")
    return withInputs(n, inputs);
  // It is half a pixel beyond half_pixel: what it rounds down, half_pixel rounds to the nearest.
  if (attributeOf(n, ctx, "mode", "string") === "linear" || attributeOf(n, ctx, "nearest_mode", "string") !== "floor")
    throw noAdapter(ctx, n, "the coordinate mode tf_half_pixel_for_nn is known with nearest_mode floor only");
  const half = {
    coordinate_transformation_mode: attr.string("half_pixel"),
    nearest_mode: attr.string("round_prefer_ceil"),
  };
  return withInputs(withAttributes(n, half), inputs);
};
