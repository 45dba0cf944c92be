import {
  attr,
  constantNodeValue,
  dtypeBits,
  edit,
  elementCount,
  failure,
  isFloat,
  type Model,
  PareError,
  type ResidentTensor,
  resident,
  type Tensor,
  tensor,
  verify,
  viewOf,
  type Weight,
  weightsOf,
} from "@pare/core";
import {
  type Axis,
  type ChannelGroup,
  type Channels,
  channelsOf,
  extentOf,
  indicesOf,
  type SizeOf,
} from "@pare/ops/channels";
import { groupBy } from "@pare/ops/weights";
import { parametersOf } from "@pare/train";
import { shallower } from "./depth.ts";
import { initialTensor } from "./initial.ts";
import { keptChannels, magnitudes } from "./kept.ts";

export interface StudentOptions {
  /** Share of the channels that stay, above 0 to 1. About its square of the weights stay. Default 1. */
  readonly width?: number;
  /** Share of the residual blocks of each kind that stay, from 0 to 1. Default 1. */
  readonly depth?: number;
  /** `keep`: the weights of what stays, those channels with the largest. `new`: as before any training. Default `keep`. */
  readonly weights?: "keep" | "new";
  /** Of new weights. Default 0. */
  readonly seed?: number;
  /** Told of weights whose channels have to stay, and why. */
  readonly onSkip?: (weight: Weight, reason: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * A smaller network of the same kind as a trained one: narrower wherever channels can be left out consistently (through
 * additions, concatenations, groups, heads, normalizations, flattening), shallower by residual blocks that keep shapes. Inputs and
 * outputs are the same.
 * @throws PareError `distill/options`; `distill/student` when there is nothing that can be left out, with the reasons
 * @example const small = await student(teacher, { width: 0.25, weights: "new" });
 */
export async function student(teacher: Model, options: StudentOptions = {}): Promise<Model> {
  const { width = 1, depth = 1, weights = "keep", seed = 0, signal } = options;
  if (!(width > 0 && width <= 1)) throw failure("distill/options", `the width is above 0 and at most 1, not ${width}`);
  if (!(depth >= 0 && depth <= 1)) throw failure("distill/options", `the depth is from 0 to 1, not ${depth}`);
  signal?.throwIfAborted();
  const short = depth < 1 ? shallower(teacher, depth) : teacher;
  if (depth < 1 && short === teacher && width === 1)
    throw failure("distill/student", "the model has no residual blocks that this depth leaves out", {
      hint: "A residual block adds its result to what it was given, in the same shape. Give a width.",
    });
  const made = width < 1 ? await narrower(short, width, weights === "keep", options) : short;
  return weights === "new" ? renewed(made, seed) : made;
}

async function narrower(model: Model, width: number, keep: boolean, options: StudentOptions): Promise<Model> {
  const { signal, onSkip } = options;
  const channels = channelsOf(model);
  const held = [...weightsOf(viewOf(model))].filter((w) => w.view === viewOf(model).main);
  const byName = new Map(held.map((w) => [w.name, w]));
  const reasons = reasonsOf(channels);
  for (const [weight, reason] of reasons) onSkip?.(byName.get(weight)!, reason);
  const scores = keep ? await magnitudes(channels, (name) => byName.get(name)!.tensor, signal) : new Map();
  const kept = keptChannels(channels, width, scores);
  if (kept.size === 0)
    throw failure("distill/student", "no channels of the model can be left out", {
      hint: [...new Set(reasons.values())].slice(0, 3).join("; ") || "It has no weights of more than one channel.",
    });
  const all = (n: number) => Array.from({ length: n }, (_, i) => i);
  const keptOf = (g: ChannelGroup) => kept.get(g) ?? all(g.size);
  const smaller = new Map<string, Tensor>();
  for (const w of held) {
    if (!isFloat(w.tensor.dtype)) continue;
    const axes = channels.axes(w.name);
    if (!axes.some((axis) => axis?.some((p) => kept.has(p.group)))) continue;
    const indices = axes.map((axis, i) => (axis ? indicesOf(axis, keptOf) : all(w.tensor.shape[i]!)));
    smaller.set(w.name, gathered(await resident(w.tensor, signal), indices));
  }
  const sizeOf = (axis: Axis) => (axis ? extentOf(axis, (g) => keptOf(g).length) : undefined);
  return withTensors(adjusted(model, channels, sizeOf), smaller);
}

/** Numbers of channels that attributes and constant operands hold. */
function adjusted(model: Model, { adjustments }: Channels, sizeOf: SizeOf): Model {
  const byNode = groupBy(adjustments, (a) => a.node);
  const changed = new Set(adjustments.map((a) => a.node));
  return edit(model, (e) => {
    const { main } = e.view;
    for (const list of byNode) {
      const { node: n } = list[0]!;
      const attributes = new Map(n.attributes);
      const inputs = [...n.inputs];
      for (const { attributes: said, operand } of list) {
        for (const [name, v] of Object.entries(said?.(sizeOf) ?? {})) attributes.set(name, attr.int(v));
        if (!operand) continue;
        const ints = operand.ints(sizeOf);
        const before = inputs[operand.index]!;
        inputs[operand.index] = e.addWeight(main, e.fresh(before), tensor("int64", [ints.length], [...ints]));
        if (main.uses(before).every((u) => changed.has(u.node))) e.removeWeight(main, before);
      }
      e.replace(n, [{ ...n, attributes, inputs }]);
    }
  });
}

/** The model with other tensors under the same names, whatever their shapes. */
function withTensors(model: Model, tensors: ReadonlyMap<string, Tensor>): Model {
  const { graph } = model;
  const made: Model = {
    ...model,
    graph: {
      ...graph,
      types: new Map(),
      weights: new Map(Array.from(graph.weights, ([name, t]) => [name, tensors.get(name) ?? t])),
      nodes: graph.nodes.map((n) => {
        const t = constantNodeValue(n) && tensors.get(n.outputs[0]!);
        return t ? { ...n, attributes: new Map([["value", attr.tensor(t)]]) } : n;
      }),
    },
  };
  const problems = verify(made);
  if (problems.length > 0) throw new PareError(problems);
  return made;
}

/** A new network of the same graph. */
function renewed(model: Model, seed: number): Model {
  const { main } = viewOf(model);
  const parameters = new Set(parametersOf(model).map((w) => w.name));
  const made = new Map<string, Tensor>();
  for (const w of weightsOf(viewOf(model))) {
    if (w.view !== main || w.tensor.dtype !== "float32") continue;
    const t = initialTensor(w, w.tensor.shape, parameters.has(w.name), seed);
    if (t) made.set(w.name, t);
  }
  return withTensors(model, made);
}

/** The elements at these indices of each axis. */
function gathered(t: ResidentTensor, indices: readonly (readonly number[])[]): Tensor {
  const shape = indices.map((i) => i.length);
  const size = dtypeBits[t.dtype] / 8;
  const bytes = new Uint8Array(elementCount(shape) * size);
  const strides = t.shape.map((_, a) => elementCount(t.shape.slice(a + 1)));
  let at = 0;
  const copy = (axis: number, from: number) => {
    if (axis === indices.length) {
      bytes.set(t.bytes.subarray(from * size, (from + 1) * size), at);
      at += size;
      return;
    }
    for (const i of indices[axis]!) copy(axis + 1, from + i * strides[axis]!);
  };
  copy(0, 0);
  return tensor(t.dtype, shape, bytes);
}

/** Why axes of weights stay, by weight. */
function reasonsOf(channels: Channels): Map<string, string> {
  const reasons = new Map<string, Set<string>>();
  for (const [{ fixed }, places] of channels.groups)
    if (fixed)
      for (const { weight } of places) {
        const known = reasons.get(weight) ?? new Set();
        reasons.set(weight, known.add(fixed));
      }
  return new Map(Array.from(reasons, ([weight, list]) => [weight, [...list].join("; ")]));
}
