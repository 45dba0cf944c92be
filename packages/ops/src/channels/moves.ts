/** Operators that compute element by element or move elements. */
import { intAttribute, intsAttribute, type Node, type Use } from "@pare/core";
import { broadcast } from "./layers.ts";
import { blockOf, extentOf, newAxis, resolved } from "./parts.ts";
import { reshapedAxes } from "./reshape.ts";
import type { Axis, ChannelRule, Coupling } from "./rule.ts";

const same: ChannelRule = (c) => {
  const axes = c.axes(c.node.inputs[0]!);
  for (const v of c.node.outputs) c.give(v, axes);
  return true;
};

const elementwise: ChannelRule = (c) => {
  const given = c.node.inputs.filter(Boolean);
  if (given.some((v) => !c.dims(v))) return false;
  const made = broadcast(
    c,
    given.map((v) => c.axes(v)),
    given.map((v) => c.dims(v)),
  );
  c.give(c.node.outputs[0], made);
  return true;
};

const transpose: ChannelRule = (c) => {
  const axes = c.axes(c.node.inputs[0]!);
  const perm = intsAttribute(c.node, "perm") ?? axes.map((_, i) => axes.length - 1 - i);
  c.give(
    c.node.outputs[0],
    perm.map((i) => axes[i] ?? null),
  );
  return true;
};

const reshape: ChannelRule = (c) => {
  const [x] = c.node.inputs as [string];
  const [from, to] = [c.dims(x), c.dims(c.node.outputs[0])];
  if (!from || !to) return false;
  const made = reshapedAxes(c.axes(x), from, to);
  c.give(c.node.outputs[0], made);
  if (c.node.op !== "Reshape") return true;
  const shape = knownShape(c, c.node);
  if (!shape) return !made.some(Boolean);
  c.adjust({ operand: { index: 1, ints: (sizeOf) => shape.map((d, i) => sizeOf(made[i]!) ?? d) } });
  return true;
};

/** What to reshape to, by numbers: 0 copies a dimension that is known when it runs, -1 is the one that is left. */
function knownShape(c: Coupling, n: Node): number[] | undefined {
  const [from, to] = [c.dims(n.inputs[0]), c.dims(n.outputs[0])];
  const shape = to?.map((d, i) => (typeof d === "number" ? d : d !== null && d === from?.[i] ? 0 : -1));
  const isZero = shape?.includes(0) && intAttribute(n, "allowzero", 0) !== 0;
  return isZero || (shape?.filter((d) => d === -1).length ?? 2) > 1 ? undefined : shape;
}

const place = (at: number, rank: number) => (at < 0 ? at + rank : at);

const squeeze: ChannelRule = (c) => {
  const [x, which] = c.node.inputs as [string, string?];
  const dims = c.dims(x);
  const axes = c.axes(x);
  const given = which ? c.ints(which) : dims?.flatMap((d, i) => (d === 1 ? [i] : []));
  if (!dims || !given) return false;
  const gone = new Set(given.map((a) => place(a, axes.length)));
  c.give(
    c.node.outputs[0],
    axes.filter((_, i) => !gone.has(i)),
  );
  return true;
};

const unsqueeze: ChannelRule = (c) => {
  const [x, which] = c.node.inputs as [string, string];
  const given = c.ints(which);
  if (!given || !c.dims(x)) return false;
  const axes = [...c.axes(x)];
  const rank = axes.length + given.length;
  const added = new Set(given.map((a) => place(a, rank)));
  c.give(
    c.node.outputs[0],
    Array.from({ length: rank }, (_, i): Axis => (added.has(i) ? null : axes.shift()!)),
  );
  return true;
};

const concat: ChannelRule = (c) => {
  const sizes = c.node.inputs.map((v) => c.dims(v));
  const rank = sizes[0]?.length;
  if (rank === undefined || sizes.some((d) => !d)) return false;
  const at = place(intAttribute(c.node, "axis", 0), rank);
  const operands = c.node.inputs.map((v) => c.axes(v));
  const others = broadcast(
    c,
    operands.map((axes) => axes.with(at, null)),
    sizes.map((d) => [...d!].fill(1, at, at + 1)),
  );
  let joined: Axis = null;
  if (operands.some((axes) => axes[at])) {
    const runs = operands.map((axes, k): Axis | undefined => {
      const size = sizes[k]![at];
      if (axes[at]) return axes[at]!;
      if (typeof size !== "number") return undefined;
      const added = newAxis(size);
      c.fix(added, "it is joined with channels, and is none");
      return added;
    });
    if (runs.includes(undefined)) return false;
    joined = runs.flatMap((r) => r!);
  }
  c.give(c.node.outputs[0], others.with(at, joined));
  return true;
};

const split: ChannelRule = (c) => {
  const [x, sizes] = c.node.inputs as [string, string?];
  const dims = c.dims(x);
  if (!dims) return false;
  const axes = c.axes(x);
  const at = place(intAttribute(c.node, "axis", 0), axes.length);
  const axis = axes[at]!;
  const { outputs } = c.node;
  if (!axis) {
    for (const v of outputs) c.give(v, axes);
    return true;
  }
  const lengths = outputs.map((v) => c.dims(v)?.[at]);
  if (!lengths.every((n) => typeof n === "number")) return false;
  const pieces = cut(axis, lengths as number[]);
  if (!pieces) return false;
  outputs.forEach((v, i) => void c.give(v, axes.with(at, pieces[i]!)));
  if (sizes) c.adjust({ operand: { index: 1, ints: (sizeOf) => pieces.map((p) => sizeOf(p)!) } });
  return true;
};

/** An axis in pieces: at the bounds of its parts, or as equal blocks. */
function cut(axis: NonNullable<Axis>, lengths: readonly number[]): Axis[] | undefined {
  const parts = [...resolved(axis)];
  const pieces = lengths.map((length) => {
    const piece = [];
    for (let rest = length; rest > 0; ) {
      const part = parts.shift();
      if (!part) return undefined;
      piece.push(part);
      rest -= extentOf([part]);
      if (rest < 0) return undefined;
    }
    return piece;
  });
  if (!pieces.includes(undefined)) return pieces as Axis[];
  if (new Set(lengths).size > 1) return undefined;
  const block = blockOf(axis, lengths.length);
  return block && lengths.map(() => block);
}

const gather: ChannelRule = (c) => {
  const [data, indices] = c.node.inputs as [string, string];
  const [from, by] = [c.dims(data), c.dims(indices)];
  if (!from || !by) return false;
  const axes = c.axes(data);
  const at = place(intAttribute(c.node, "axis", 0), axes.length);
  c.fix(axes[at], "elements of it are chosen by their number");
  c.give(c.node.outputs[0], [...axes.slice(0, at), ...by.map(() => null), ...axes.slice(at + 1)]);
  return true;
};

const slice: ChannelRule = (c) => {
  const [x, starts, , which] = c.node.inputs as [string, string, string, string?];
  const axes = c.axes(x);
  const given = which ? c.ints(which) : c.ints(starts)?.map((_, i) => i);
  if (!given || !c.dims(x)) return false;
  const cutAxes = new Set(given.map((a) => place(a, axes.length)));
  for (const a of cutAxes) c.fix(axes[a], "a part of it is cut out");
  c.give(
    c.node.outputs[0],
    axes.map((axis, i) => (cutAxes.has(i) ? null : axis)),
  );
  return true;
};

const pad: ChannelRule = (c) => {
  const [x, pads, , which] = c.node.inputs as [string, string, string?, string?];
  const amounts = c.ints(pads);
  const axes = c.axes(x);
  const given = which ? c.ints(which) : axes.map((_, i) => i);
  if (!amounts || !given || !c.dims(x)) return false;
  const made = [...axes];
  given.forEach((a, k) => {
    const at = place(a, axes.length);
    if (amounts[k] === 0 && amounts[k + given.length] === 0) return;
    c.fix(axes[at], "it is padded");
    made[at] = null;
  });
  c.give(c.node.outputs[0], made);
  return true;
};

/**
 * What is not the value itself but how large it is. Reshapes are given numbers, whatever they were computed from; of axes whose size
 * is read for anything else all channels stay.
 */
const sizes: ChannelRule = (c: Coupling) => {
  const axes = c.axes(c.node.inputs[0]!);
  const [sizes] = c.node.outputs as [string];
  const uses = c.node.op === "Shape" && c.node.attributes.size === 0 ? c.uses(sizes) : undefined;
  const read = uses?.filter((use) => !isForReshapes(c, use)).map((use) => elementsRead(c, use, axes.length));
  axes.forEach((axis, i) => {
    if (!read || read.some((elements) => !elements || elements.includes(i))) c.fix(axis, "its size is computed with");
  });
  c.give(sizes, [null]);
  return true;
};

/** Operators that compute sizes from sizes. */
const onSizes = new Set([
  "Identity",
  "Cast",
  "Gather",
  "Slice",
  "Concat",
  "Squeeze",
  "Unsqueeze",
  "Add",
  "Sub",
  "Mul",
  "Div",
]);

/** Whether nothing but shapes of reshapes whose numbers are known is computed from what is read here. */
function isForReshapes(c: Coupling, use: Use): boolean {
  const seen = new Set<string>();
  const open = [use];
  for (const { node: n, index } of open) {
    if (n.op === "Reshape" && index === 1 && knownShape(c, n)) continue;
    if (!onSizes.has(n.op) || ((n.op === "Gather" || n.op === "Slice") && index !== 0)) return false;
    const [made] = n.outputs as [string];
    const uses = c.uses(made);
    if (!uses) return false;
    if (!seen.has(made)) open.push(...uses);
    seen.add(made);
  }
  return true;
}

/** Which elements are read; undefined where that is not known. */
function elementsRead(c: Coupling, { node: n, index }: Use, rank: number): number[] | undefined {
  const [first, second] = [c.ints(n.inputs[1]), c.ints(n.inputs[2])];
  if (index !== 0 || !first) return undefined;
  if (n.op === "Gather") return first.map((i) => place(i, rank));
  if (n.op !== "Slice" || !second || n.inputs.length > 4) return undefined;
  const [start, end] = [place(first[0]!, rank), Math.min(rank, place(second[0]!, rank))];
  return Array.from({ length: Math.max(0, end - start) }, (_, i) => start + i);
}

const each = (rule: ChannelRule, ...ops: readonly string[]) => Object.fromEntries(ops.map((op) => [op, rule]));

export const moves: Readonly<Record<string, ChannelRule>> = {
  ...each(
    same,
    "Relu",
    "LeakyRelu",
    "Elu",
    "Selu",
    "Celu",
    "Sigmoid",
    "HardSigmoid",
    "HardSwish",
    "Mish",
    "Swish",
    "Softplus",
  ),
  ...each(
    same,
    "Softsign",
    "ThresholdedRelu",
    "Tanh",
    "Gelu",
    "Erf",
    "Exp",
    "Log",
    "Sqrt",
    "Reciprocal",
    "Abs",
    "Neg",
    "Sign",
  ),
  ...each(
    same,
    "Identity",
    "Cast",
    "Dropout",
    "Floor",
    "Ceil",
    "Round",
    "Sin",
    "Cos",
    "Not",
    "Shrink",
    "Softmax",
    "LogSoftmax",
  ),
  ...each(elementwise, "Add", "Sub", "Mul", "Div", "Pow", "PRelu", "Sum", "Mean", "Max", "Min", "Where", "Mod", "Clip"),
  ...each(elementwise, "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "And", "Or", "Xor"),
  ...each(reshape, "Reshape", "Flatten"),
  ...each(sizes, "Shape", "Size"),
  Transpose: transpose,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  Concat: concat,
  Split: split,
  Gather: gather,
  Slice: slice,
  Pad: pad,
};
