import type { Runs } from "@pare/ops/kernels";

/** How the elements of a weight share scales: the whole tensor, each index of an axis, or blocks along an axis. */
export type Granularity =
  | { readonly kind: "tensor" }
  | { readonly kind: "channel"; readonly axis: number }
  | { readonly kind: "block"; readonly axis: number; readonly size: number };

/** A shape seen as [outer, axis, inner] around the axis of a granularity, and where each element's group is. */
export interface Layout {
  readonly groups: number;
  /** Shape of the tensor of scales, as DequantizeLinear wants it. */
  readonly scaleShape: readonly number[];
  /** The groups of `count` elements from `start` of the whole tensor. */
  runs(start: number, count: number): Runs;
}

/** @throws nothing: the axis must be one of the shape's. */
export function layoutOf(shape: readonly number[], g: Granularity): Layout {
  if (g.kind === "tensor")
    return { groups: 1, scaleShape: [], runs: (_, count) => (visit) => visit(0, count, 0, 1, 0) };
  const { axis } = g;
  const length = shape[axis]!;
  const inner = shape.slice(axis + 1).reduce((n, d) => n * d, 1);
  if (g.kind === "channel")
    return {
      groups: length,
      scaleShape: [length],
      runs: (start, count) => (visit) => {
        if (inner === 1) return visit(0, count, 0, length, start % length);
        let channel = Math.floor(start / inner) % length;
        for (let from = 0, to = inner - (start % inner); from < count; from = to, to += inner) {
          visit(from, Math.min(count, to), channel, 1, 0);
          if (++channel === length) channel = 0;
        }
      },
    };
  const blocks = Math.ceil(length / g.size);
  const outer = shape.slice(0, axis).reduce((n, d) => n * d, 1);
  return {
    groups: outer * blocks * inner,
    scaleShape: shape.map((d, i) => (i === axis ? blocks : d)),
    runs: (start, count) => (visit) => {
      const row = Math.floor(start / inner);
      let index = row % length;
      let block = Math.floor(row / length) * blocks + Math.floor(index / g.size);
      let offset = start % inner;
      for (let from = 0; from < count; block++, offset = 0) {
        const rows = Math.min(g.size - (index % g.size), length - index);
        const to = Math.min(count, from + rows * inner - offset);
        visit(from, to, block * inner, inner, offset);
        from = to;
        index = (index + rows) % length;
      }
    },
  };
}

/** The group of each of the first `count` elements. */
export function groupsOf(layout: Layout, count: number): Int32Array {
  const groups = new Int32Array(count);
  layout.runs(
    0,
    count,
  )((from, to, group, width, offset) => {
    for (let i = from; i < to; i++) groups[i] = group + ((offset + i - from) % width);
  });
  return groups;
}
