/** Operators with weights, and those that reduce or normalize. */
import { attribute, intAttribute, intsAttribute } from "@pare/core";
import { blockOf, resolved } from "./parts.ts";
import type { Axis, ChannelRule, Coupling } from "./rule.ts";

/** Null axes for the dimensions of places. */
const places = (rank: number): Axis[] => Array.from({ length: Math.max(0, rank - 2) }, () => null);

/** Places are no channels. */
const freeze = (c: Coupling, axes: readonly (Axis | undefined)[]) => {
  for (const axis of axes) c.fix(axis, "");
};

const conv: ChannelRule = (c) => {
  const [x, w, bias] = c.node.inputs as [string, string, string?];
  const [input, filters] = [c.axes(x), c.axes(w)];
  const [sizes, kernel] = [c.dims(x), c.dims(w)];
  const channels = sizes?.[1];
  if (!sizes || !kernel || typeof channels !== "number" || typeof kernel[0] !== "number") return false;
  const groups = intAttribute(c.node, "group", 1);
  freeze(c, filters.slice(2));
  const made = output(c, filters, input, groups, kernel[0], channels);
  if (made === undefined) return false;
  if (bias) c.unify(c.axes(bias)[0], made);
  c.give(c.node.outputs[0], [null, made, ...places(sizes.length)]);
  return true;
};

/** The channels that a convolution gives. */
function output(
  c: Coupling,
  filters: readonly Axis[],
  input: readonly Axis[],
  groups: number,
  count: number,
  channels: number,
): Axis | undefined {
  const x = input[1]!;
  if (groups === 1) {
    c.unify(filters[1], x);
    return filters[0] ?? null;
  }
  if (groups === channels && count % channels === 0) {
    const parts = x && resolved(x).map((p) => ({ ...p, inner: p.inner * (count / channels) }));
    c.unify(filters[0], parts);
    if (parts) c.adjust({ attributes: (sizeOf) => ({ group: sizeOf(x)! }) });
    return parts;
  }
  // Of each group the same channels stay, so that it has as many as the others.
  const [from, to] = [x && blockOf(x, groups), filters[0] && blockOf(filters[0], groups)];
  if ((x && !from) || (filters[0] && !to)) return undefined;
  c.unify(filters[1], from);
  return filters[0] ?? null;
}

const convTranspose: ChannelRule = (c) => {
  const [x, w, bias] = c.node.inputs as [string, string, string?];
  const rank = c.dims(x)?.length;
  if (rank === undefined || intAttribute(c.node, "group", 1) !== 1) return false;
  const [from, to, ...kernel] = c.axes(w);
  freeze(c, kernel);
  c.unify(from, c.axes(x)[1]);
  if (bias) c.unify(c.axes(bias)[0], to);
  c.give(c.node.outputs[0], [null, to ?? null, ...places(rank)]);
  return true;
};

const gemm: ChannelRule = (c) => {
  const [a, b, bias] = c.node.inputs as [string, string, string?];
  const turned = (v: string, name: string) =>
    intAttribute(c.node, name, 0) === 1 ? c.axes(v).toReversed() : c.axes(v);
  const [rows, summed] = turned(a, "transA");
  const [inner, columns] = turned(b, "transB");
  c.unify(summed, inner);
  const made = [rows ?? null, columns ?? null];
  if (bias) broadcast(c, [made, c.axes(bias)], [c.dims(c.node.outputs[0]), c.dims(bias)]);
  c.give(c.node.outputs[0], made);
  return true;
};

const matMul: ChannelRule = (c) => {
  const [a, b] = c.node.inputs as [string, string];
  const [left, right] = [c.axes(a), c.axes(b)];
  const [rows, columns] = [c.dims(a), c.dims(b)];
  if (!rows || !columns || rows.length < 2 || columns.length < 2) return false;
  c.unify(left.at(-1), right.at(-2));
  const outer = broadcast(c, [left.slice(0, -2), right.slice(0, -2)], [rows.slice(0, -2), columns.slice(0, -2)]);
  c.give(c.node.outputs[0], [...outer, left.at(-2) ?? null, right.at(-1) ?? null]);
  return true;
};

/** Couples axes that stand at the same place from the right, but for those of size 1. */
export function broadcast(
  c: Coupling,
  operands: readonly (readonly Axis[])[],
  dims: readonly (readonly unknown[] | undefined)[],
): Axis[] {
  const rank = Math.max(...operands.map((o) => o.length));
  return Array.from({ length: rank }, (_, i): Axis => {
    const here = operands.flatMap((axes, k) => {
      const at = i - rank + axes.length;
      return at >= 0 && dims[k]?.[at] !== 1 ? [axes[at]!] : [];
    });
    for (const axis of here.slice(1)) c.unify(here[0], axis);
    return here[0] ?? null;
  });
}

/** One number for each channel of the first operand. */
const perChannel: ChannelRule = (c) => {
  const [x, ...parameters] = c.node.inputs as [string, ...string[]];
  const axes = c.axes(x);
  for (const v of parameters) if (v) c.unify(c.axes(v)[0], axes[1]);
  c.give(c.node.outputs[0], axes);
  return true;
};

const groupNorm: ChannelRule = (c) => {
  const channels = c.axes(c.node.inputs[0]!)[1];
  if (channels && !blockOf(channels, intAttribute(c.node, "num_groups", 1))) return false;
  return perChannel(c);
};

/** Over the last dimensions, each with numbers of its own. */
const lastDimensions: ChannelRule = (c) => {
  const [x, ...parameters] = c.node.inputs as [string, ...string[]];
  const axes = c.axes(x);
  for (const v of parameters) if (v) broadcast(c, [axes, c.axes(v)], [c.dims(x), c.dims(v)]);
  c.give(c.node.outputs[0], axes);
  return c.node.outputs.slice(1).every((v) => !v);
};

const reduce: ChannelRule = (c) => {
  const [x, over] = c.node.inputs as [string, string?];
  const axes = c.axes(x);
  const given = intsAttribute(c.node, "axes") ?? (over ? c.ints(over) : []);
  if (!given || !c.dims(x)) return false;
  const isAll = given.length === 0 && intAttribute(c.node, "noop_with_empty_axes", 0) === 0;
  const reduced = new Set(given.map((a) => (a < 0 ? a + axes.length : a)));
  const keeps = intAttribute(c.node, "keepdims", 1) === 1;
  c.give(
    c.node.outputs[0],
    axes.flatMap((axis, i) => (isAll || reduced.has(i) ? (keeps ? [null] : []) : [axis])),
  );
  return true;
};

/** Each channel by itself, whatever becomes of its places. */
const windows: ChannelRule = (c) => {
  const axes = c.axes(c.node.inputs[0]!);
  for (const axis of axes.slice(2)) c.fix(axis, "");
  c.give(c.node.outputs[0], [axes[0] ?? null, axes[1] ?? null, ...places(axes.length)]);
  return c.node.outputs.slice(1).every((v) => !v);
};

const resize: ChannelRule = (c) => {
  const [x, , scales, sizes] = c.node.inputs as [string, string?, string?, string?];
  const factor = scales ? attributeOfScale(c, scales) : undefined;
  if (sizes || factor !== 1 || attribute(c.node, "axes", "ints")) {
    for (const axis of c.axes(x)) c.fix(axis, "a Resize says sizes of all dimensions");
  }
  return windows(c);
};

/** The factor of the channels, where it is known. */
const attributeOfScale = (c: Coupling, scales: string): number | undefined => c.ints(scales)?.[1];

export const layers: Readonly<Record<string, ChannelRule>> = {
  Conv: conv,
  ConvTranspose: convTranspose,
  Gemm: gemm,
  MatMul: matMul,
  BatchNormalization: perChannel,
  InstanceNormalization: perChannel,
  GroupNormalization: groupNorm,
  LayerNormalization: lastDimensions,
  RMSNormalization: lastDimensions,
  GlobalAveragePool: windows,
  GlobalMaxPool: windows,
  AveragePool: windows,
  MaxPool: windows,
  LpPool: windows,
  Resize: resize,
  ...Object.fromEntries(
    ["Mean", "Sum", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp"].map((k) => [
      `Reduce${k}`,
      reduce,
    ]),
  ),
};
