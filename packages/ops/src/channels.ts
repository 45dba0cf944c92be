/** Which channels of a model go together: what has to be left out with what. */
import {
  type Dim,
  isFloat,
  labelOf,
  type Model,
  type Node,
  operatorOf,
  readsOf,
  subgraphsOf,
  type Tensor,
  viewOf,
} from "@pare/core";
import { layers } from "./channels/layers.ts";
import { moves } from "./channels/moves.ts";
import { type ChannelGroup, extentOf, fix, indicesOf, newAxis, resolved, unify } from "./channels/parts.ts";
import type { Adjustment, Axis, ChannelRule, SizeOf } from "./channels/rule.ts";
import { inferTypes } from "./infer.ts";

export { type Adjustment, type Axis, type ChannelGroup, extentOf, indicesOf, type SizeOf };

const rules: ReadonlyMap<string, ChannelRule> = new Map(Object.entries({ ...layers, ...moves }));

/** Groups of channels of the main graph. */
export interface Channels {
  /** Groups that weights have, each once, with the weights and their axes. Those that are `fixed` have to stay whole. */
  readonly groups: ReadonlyMap<ChannelGroup, readonly { readonly weight: string; readonly axis: number }[]>;
  /** Axes of a value as groups; null for one that is none of channels. */
  axes(value: string): readonly Axis[];
  /** Nodes that hold numbers of channels themselves. */
  readonly adjustments: readonly Adjustment[];
}

/**
 * Follows channels from the weights that make them through the main graph: what is added is the same, what is concatenated stands
 * side by side, a flattened image has each channel many times, groups and heads keep equal parts. Channels of inputs and outputs,
 * and all that an operator without a rule touches, stay as they are, with the reason. (The dependencies that Fang et al. 2023,
 * arXiv:2301.12900, find by tracing gradients.)
 */
export function channelsOf(model: Model): Channels {
  const { main } = viewOf(model);
  const types = inferTypes(model);
  const known = new Map<string, readonly Axis[]>();
  const adjustments: Adjustment[] = [];
  const dims = (v: string | undefined): readonly Dim[] | undefined => {
    const type = v ? types.of(main, v) : undefined;
    return type?.kind === "tensor" ? type.shape : undefined;
  };
  const weights = new Map<string, Tensor>();
  const axes = (v: string): readonly Axis[] => {
    const before = known.get(v);
    if (before) return before;
    const t = main.constant(v);
    const made =
      t && isFloat(t.dtype) ? t.shape.map((d) => (d > 1 ? newAxis(d) : null)) : (dims(v) ?? []).map(() => null);
    if (t && isFloat(t.dtype)) weights.set(v, t);
    known.set(v, made);
    return made;
  };
  const hold = (v: string, why: string) => {
    for (const axis of axes(v)) fix(axis, why);
  };
  for (const n of main.graph.nodes) {
    if (main.constant(n.outputs[0] ?? "")) continue;
    const why = `${labelOf(n)} (${operatorOf(n)})`;
    const rule = holdsGraph(n) ? undefined : rules.get(operatorOf(n));
    const isSaid = rule?.({
      node: n,
      dims,
      axes,
      give: (v, made) => void (v && known.set(v, made)),
      ints: (v) => {
        const values = v ? types.constantInts(main, v) : undefined;
        return values?.every((d) => typeof d === "number") ? (values as number[]) : undefined;
      },
      uses: (v) => (main.isOutput(v) ? undefined : main.uses(v)),
      unify: (a, b) =>
        unify(a ?? null, b ?? null, `${why} takes it together with what is no channel or is divided otherwise`),
      fix: (axis, reason) => fix(axis ?? null, reason && `${why}: ${reason}`),
      adjust: (a) => void adjustments.push({ node: n, ...a }),
    });
    if (isSaid) continue;
    for (const v of readsOf(n)) hold(v, `nothing is known of what ${why} does with channels`);
    for (const v of n.outputs)
      if (v)
        known.set(
          v,
          (dims(v) ?? []).map(() => null),
        );
  }
  for (const { name } of main.graph.outputs) hold(name, "it is an output of the model");
  const groups = new Map<ChannelGroup, { weight: string; axis: number }[]>();
  for (const weight of weights.keys())
    axes(weight).forEach((axis, i) => {
      for (const group of new Set(resolved(axis ?? []).map((p) => p.group))) {
        const places = groups.get(group) ?? [];
        places.push({ weight, axis: i });
        groups.set(group, places);
      }
    });
  return { groups, axes: (v) => axes(v).map((a) => a && resolved(a)), adjustments };
}

const holdsGraph = (n: Node): boolean => !subgraphsOf(n).next().done;
