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
  /**
   * Calls `visit(from, to, group, step)` for runs of elements `start + from` to `start + to` of the whole tensor: the
   * first is of `group`, each next one of a group `step` (0 or 1) further.
   */
  runs(start: number, count: number, visit: (from: number, to: number, group: number, step: 0 | 1) => void): void;
}

/** @throws nothing: the axis must be one of the shape's. */
export function layoutOf(shape: readonly number[], g: Granularity): Layout {
  if (g.kind === "tensor")
    return { groups: 1, scaleShape: [], runs: (_, count, visit) => visit(0, count, 0, 0) };
  const { axis } = g;
  const length = shape[axis]!;
  const inner = shape.slice(axis + 1).reduce((n, d) => n * d, 1);
  if (g.kind === "channel")
    return {
      groups: length,
      scaleShape: [length],
      runs(start, count, visit) {
        // With nothing after the axis, neighbours are of neighbouring channels: one run goes through all of them.
        const step = inner === 1 ? 1 : 0;
        const run = step ? length : inner;
        for (let from = 0; from < count; ) {
          const at = start + from;
          const to = Math.min(count, from + run - (at % run));
          visit(from, to, step ? at % length : Math.floor(at / inner) % length, step);
          from = to;
        }
      },
    };
  const blocks = Math.ceil(length / g.size);
  const outer = shape.slice(0, axis).reduce((n, d) => n * d, 1);
  return {
    groups: outer * blocks * inner,
    scaleShape: shape.map((d, i) => (i === axis ? blocks : d)),
    runs(start, count, visit) {
      const step = inner === 1 ? 0 : 1;
      for (let from = 0; from < count; ) {
        const at = start + from;
        const row = Math.floor(at / inner);
        const index = row % length;
        const rest = step ? inner - (at % inner) : Math.min(g.size - (index % g.size), length - index);
        const to = Math.min(count, from + rest);
        const block = Math.floor(row / length) * blocks + Math.floor(index / g.size);
        visit(from, to, step ? block * inner + (at % inner) : block, step);
        from = to;
      }
    },
  };
}
