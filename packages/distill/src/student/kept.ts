/** Which channels of a group stay. */
import type { Tensor } from "@pare/core";
import { resident } from "@pare/core";
import type { Axis, ChannelGroup, Channels } from "@pare/ops/channels";
import { numbersOf } from "@pare/ops/numeric";

/** Channels of each block of a group that narrows to `width`, at least one. */
const perBlock = ({ size, blocks }: ChannelGroup, width: number): number =>
  Math.max(1, Math.round((size / blocks) * width));

/** Groups that get narrower, with the channels that stay: the same of each block, those of largest `scores`. */
export function keptChannels(
  channels: Channels,
  width: number,
  scores: ReadonlyMap<ChannelGroup, Float64Array>,
): Map<ChannelGroup, readonly number[]> {
  const kept = new Map<ChannelGroup, readonly number[]>();
  for (const group of channels.groups.keys()) {
    const length = group.size / group.blocks;
    const count = perBlock(group, width);
    if (group.fixed !== undefined || count >= length) continue;
    const sums = new Float64Array(length);
    scores.get(group)?.forEach((v, i) => void (sums[i % length]! += v));
    const best = Array.from(sums, (_, i) => i)
      .sort((a, b) => sums[b]! - sums[a]! || a - b)
      .slice(0, count)
      .sort((a, b) => a - b);
    kept.set(group, Array.from({ length: group.blocks }, (_, block) => best.map((i) => block * length + i)).flat());
  }
  return kept;
}

/**
 * How much each channel of a group counts: the share of the magnitudes of each matrix or filter that is at it.
 * (Li et al. 2017, arXiv:1608.08710.) Reads all weights, one after the other.
 */
export async function magnitudes(
  channels: Channels,
  weightOf: (name: string) => Tensor,
  signal?: AbortSignal,
): Promise<Map<ChannelGroup, Float64Array>> {
  const scores = new Map([...channels.groups.keys()].map((g) => [g, new Float64Array(g.size)]));
  const names = new Set([...channels.groups.values()].flatMap((places) => places.map((p) => p.weight)));
  for (const name of names) {
    const t = weightOf(name);
    if (t.shape.length < 2) continue;
    const numbers = numbersOf(await resident(t, signal));
    let total = 0;
    for (const v of numbers) total += Math.abs(Number(v));
    if (total === 0) continue;
    let stride = numbers.length;
    channels.axes(name).forEach((axis, a) => {
      const length = t.shape[a]!;
      stride /= length;
      if (!axis) return;
      const sums = new Float64Array(length);
      for (let i = 0; i < numbers.length; i++)
        sums[Math.floor(i / stride) % length]! += Math.abs(Number(numbers[i])) / total;
      spread(axis, sums, scores);
    });
  }
  return scores;
}

/** Adds what is at each index of an axis to the channel that it is. */
function spread(axis: NonNullable<Axis>, sums: Float64Array, scores: ReadonlyMap<ChannelGroup, Float64Array>): void {
  let at = 0;
  for (const { group, local = group.size, inner } of axis)
    for (let channel = 0; channel < local; channel++)
      for (let i = 0; i < inner; i++) scores.get(group)![channel]! += sums[at++]!;
}
