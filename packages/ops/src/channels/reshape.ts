/** How axes go together and apart where only shapes change. */
import type { Dim } from "@pare/core";
import { type Axis, blockOf, fix, type Part, resolved } from "./parts.ts";

/** More repetitions than this are no heads or groups. */
const MOST = 4096;
const WHY = "a reshape mixes them with other dimensions";

/** The axes after a reshape of the same elements, by the dimensions before and after. */
export function reshapedAxes(axes: readonly Axis[], from: readonly Dim[], to: readonly Dim[]): Axis[] {
  const made: Axis[] = to.map(() => null);
  for (const { ins, outs } of matched(from, to)) {
    if (!ins.some((i) => axes[i])) continue;
    const wide = outs.filter((j) => to[j] !== 1);
    const sources = ins.filter((i) => from[i] !== 1);
    if (sources.length === 1 && wide.length === 1) made[wide[0]!] = axes[sources[0]!]!;
    else if (wide.length === 1) made[wide[0]!] = mergedAxis(sources.map((i) => [axes[i]!, from[i] as number]));
    else if (sources.length === 1) {
      const parts = splitAxis(
        axes[sources[0]!]!,
        wide.map((j) => to[j] as number),
      );
      parts.forEach((axis, k) => void (made[wide[k]!] = axis));
    } else for (const i of ins) fix(axes[i]!, WHY);
  }
  return made;
}

/** Runs of dimensions of as many elements. What is behind a dimension that cannot be matched is one run without axes. */
function matched(from: readonly Dim[], to: readonly Dim[]): { ins: number[]; outs: number[] }[] {
  const runs: { ins: number[]; outs: number[] }[] = [];
  let [ends, tails] = [from.length, to.length];
  while (ends > 0 && tails > 0 && from[ends - 1] === to[tails - 1] && from[ends - 1] !== null)
    runs.push({ ins: [--ends], outs: [--tails] });
  let [i, j] = [0, 0];
  while (i < ends || j < tails) {
    const run = { ins: [] as number[], outs: [] as number[] };
    runs.push(run);
    if (i < ends && j < tails && from[i] === to[j] && from[i] !== null) {
      run.ins.push(i++);
      run.outs.push(j++);
      continue;
    }
    let [left, right] = [1, 1];
    do {
      const [dims, at] = (left <= right && i < ends) || j >= tails ? ([from, i] as const) : ([to, j] as const);
      const dim = dims[at];
      if (typeof dim !== "number" || dim < 1) {
        // The rest on both sides.
        while (i < ends) run.ins.push(i++);
        while (j < tails) run.outs.push(j++);
        return runs;
      }
      if (dims === from) {
        left *= dim;
        run.ins.push(i++);
      } else {
        right *= dim;
        run.outs.push(j++);
      }
    } while (left !== right && (i < ends || j < tails));
  }
  return runs;
}

function mergedAxis(sources: readonly (readonly [Axis, number])[]): Axis {
  const at = sources.findIndex(([axis]) => axis);
  const product = (part: readonly (readonly [Axis, number])[]) => part.reduce((n, [, size]) => n * size, 1);
  const [outer, inner] = [product(sources.slice(0, at)), product(sources.slice(at + 1))];
  const isAlone = sources.every(([axis], k) => k === at || !axis);
  if (!isAlone || outer > MOST || Number.isNaN(outer * inner)) {
    for (const [axis] of sources) fix(axis, WHY);
    return null;
  }
  const parts = sources[at]![0]!.map((p): Part => ({ ...p, inner: p.inner * inner }));
  return Array.from({ length: outer }, () => parts).flat();
}

/** Channels stay in the first dimension where those behind it are places of each; otherwise in the last, as those of a block. */
function splitAxis(axis: Axis, sizes: readonly number[]): Axis[] {
  const made: Axis[] = sizes.map(() => null);
  const behind = sizes.slice(1).reduce((n, d) => n * d, 1);
  const parts = resolved(axis!);
  if (parts.every((p) => p.inner % behind === 0)) made[0] = parts.map((p) => ({ ...p, inner: p.inner / behind }));
  else {
    const last = sizes[sizes.length - 1]!;
    const all = sizes.reduce((n, d) => n * d, 1);
    const block = Number.isInteger(all) ? blockOf(axis!, all / last) : undefined;
    if (block) made[made.length - 1] = block;
    else fix(axis, WHY);
  }
  return made;
}
