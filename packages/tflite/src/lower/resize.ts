import { type ResizedAxis, resizeTaps } from "@pare/ops/evaluate";
import { axisOf, type Context, type Lowerings, refuse } from "./context.ts";
import { plus, widened } from "./elementwise.ts";
import { hasOrders, type Val } from "./program.ts";

/** How a Resize changes one dimension. */
interface Axis extends ResizedAxis {
  readonly axis: number;
}

function axesOf(c: Context, x: Val): readonly Axis[] {
  const rank = x.shape.length;
  const axes = (c.intList("axes") ?? x.shape.map((_, i) => i)).map((a) => axisOf(a, rank));
  const filled = (i: number, what: string) => (c.maybe(i) && c.in(i).shape[0] !== 0 ? c.constants(i, what) : undefined);
  const roi = filled(1, "roi");
  const scales = filled(2, "scales");
  const sizes = filled(3, "sizes");
  const policy = c.text("keep_aspect_ratio_policy", "stretch");
  const own = axes.map((axis, i) => (sizes ? sizes[i]! / x.shape[axis]! : scales![i]!));
  const common = policy === "not_larger" ? Math.min(...own) : Math.max(...own);
  return axes.map((axis, i) => {
    const from = x.shape[axis]!;
    const keeps = sizes && policy !== "stretch";
    const scale = keeps ? common : own[i]!;
    const to = keeps ? Math.floor(common * from + 0.5) : sizes ? sizes[i]! : Math.floor(from * scale);
    return { axis, from, to, scale, roi: [roi?.[i] ?? 0, roi?.[axes.length + i] ?? 1] };
  });
}

function alongAxis(c: Context, x: Val, a: Axis): Val {
  if (a.to * a.from > 1 << 22) refuse("its weights would take more memory than is reasonable");
  const places = resizeTaps(c.node, a).map((p) => ({ ...p, taps: p.taps.filter((t) => t.part !== 0) }));
  if (places.every(({ taps, outside }) => taps.length === 1 && !outside))
    return c.gather(x, c.ints(places.map(({ taps }) => taps[0]!.index)), a.axis);
  const weights = new Float64Array(a.to * a.from);
  places.forEach(({ taps, outside }, i) => {
    if (!outside) for (const { index, part } of taps) weights[i * a.from + index]! += part;
  });
  const rank = x.shape.length;
  const perm = x.shape.map((_, i) => (i === a.axis ? rank - 1 : i === rank - 1 ? a.axis : i));
  return c.transpose(c.dense(c.transpose(x, perm), c.full("float32", [a.to, a.from], weights)), perm);
}

/** Which of LiteRT's own two says the same, with its options. */
function builtinOf(c: Context, axes: readonly Axis[]) {
  const mode = c.text("mode", "nearest");
  const how = c.text("coordinate_transformation_mode", "half_pixel");
  if (c.int("antialias", 0) === 1) return undefined;
  // LiteRT takes the ratio of sizes as the scale.
  if (axes.some((a) => Math.abs(a.scale * a.from - a.to) > 1e-6 * a.to)) return undefined;
  const wide = axes.every((a) => a.to > 1);
  const isHalf = how === "half_pixel" || (how === "pytorch_half_pixel" && wide);
  const isAligned = how === "align_corners" && wide;
  const options = { half_pixel_centers: isHalf, align_corners: isAligned };
  if (!isHalf && !isAligned && how !== "asymmetric") return undefined;
  if (mode === "linear") return { code: "RESIZE_BILINEAR" as const, options };
  if (mode !== "nearest") return undefined;
  const rounding = c.text("nearest_mode", "round_prefer_floor");
  const integral = axes.every((a) => a.to % a.from === 0);
  const exact = how === "asymmetric" ? rounding === "floor" : rounding === "round_prefer_ceil";
  const isHalfUp = isHalf && integral && rounding.startsWith("round_prefer");
  return exact || isHalfUp ? { code: "RESIZE_NEAREST_NEIGHBOR" as const, options } : undefined;
}

function resize(c: Context) {
  const given = c.in(0);
  const crops = c.text("coordinate_transformation_mode", "") === "tf_crop_and_resize";
  const x = c.text("mode", "nearest") === "nearest" ? given : widened(c, given, ["float32"]);
  const axes = axesOf(c, x).filter((a) => a.from !== a.to || a.scale !== 1 || crops);
  if (axes.length === 0) return c.give(0, given);
  const isSpatial = x.shape.length === 4 && x.dtype === "float32" && hasOrders(x) && axes.every((a) => a.axis >= 2);
  const builtin = isSpatial && !crops ? builtinOf(c, axes) : undefined;
  if (builtin) {
    const sizes = [2, 3].map((i) => axes.find((a) => a.axis === i)?.to ?? x.shape[i]!);
    const result = { shape: [...x.shape.slice(0, 2), ...sizes], dtype: x.dtype, order: "last" } as const;
    const resized = c.add(builtin.code, [{ value: x, order: "last" }, c.ints(sizes)], result, builtin.options);
    return c.give(0, c.cast(resized, given.dtype));
  }
  const value = crops ? c.float("extrapolation_value", 0) : 0;
  const inner = axes.reduce((v, a) => alongAxis(c, v, a), x);
  c.give(0, c.cast(value === 0 ? inner : plus(c, inner, outside(c, inner, axes, value)), given.dtype));
}

/** What stands where a crop leaves the image, where everything else adds 0. */
function outside(c: Context, v: Val, axes: readonly Axis[], value: number): Val {
  const isOut = new Map(axes.map((a) => [a.axis, resizeTaps(c.node, a).map((place) => place.outside)]));
  const shape = v.shape.map((d, i) => (axes.some((a) => a.axis === i) ? d : 1));
  const own = shape.map((_, i) => shape.slice(i + 1).reduce((n, d) => n * d, 1));
  const values = Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, n) =>
    axes.some(({ axis }) => isOut.get(axis)![Math.floor(n / own[axis]!) % shape[axis]!]) ? value : 0,
  );
  return c.full("float32", shape, values);
}

export const resizes: Lowerings = { Resize: resize };
