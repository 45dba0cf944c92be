/** Which channels are which: axes of values as lists of groups of channels, and what makes two axes the same. */

/** Channels that go or stay together wherever they appear. */
export interface ChannelGroup {
  readonly size: number;
  /** Equal blocks, of each of which the same channels have to stay: groups of a convolution, heads. */
  readonly blocks: number;
  /** Why all of them have to stay, if they have to; empty where they are no channels but places of a kernel. */
  readonly fixed: string | undefined;
}

/** A run of an axis: the channels of a group (`local`: of its first block of so many), each `inner` times in a row. */
export interface Part {
  readonly group: ChannelGroup;
  readonly local?: number | undefined;
  readonly inner: number;
}

/** What an axis consists of; null where it is no axis of channels: a batch, a place. */
export type Axis = readonly Part[] | null;

interface Mutable {
  readonly size: number;
  blocks: number;
  fixed: string | undefined;
  bound?: readonly Part[];
  /** Groups that are this one. */
  members?: number;
}
const mutable = (g: ChannelGroup): Mutable => g;

export const newAxis = (size: number): Axis => [
  { group: { size, blocks: 1, fixed: undefined }, inner: 1 } satisfies Part,
];

/** Length of an axis, by numbers of channels. */
export const extentOf = (parts: readonly Part[], sizeOf: (g: ChannelGroup) => number = (g) => g.size): number =>
  resolved(parts).reduce((n, p) => n + localSize(p, sizeOf) * p.inner, 0);

const localSize = ({ group, local }: Part, sizeOf: (g: ChannelGroup) => number): number =>
  local === undefined ? sizeOf(group) : (sizeOf(group) * local) / group.size;

/** The parts with groups that were found to be others replaced by those. */
export function resolved(parts: readonly Part[]): readonly Part[] {
  if (!parts.some((p) => mutable(p.group).bound)) return parts;
  return parts.flatMap((p) => {
    const { bound } = mutable(p.group);
    if (!bound) return [p];
    // A group of which some are local is bound to one other as a whole.
    return resolved(bound).map((q) => ({ group: q.group, local: p.local ?? q.local, inner: q.inner * p.inner }));
  });
}

/** Says that all channels of an axis stay. */
export function fix(axis: Axis, why: string): void {
  for (const { group } of resolved(axis ?? [])) mutable(group).fixed ??= why;
}

/** Says that two axes are the same. Where their parts do not fit each other, all stay. */
export function unify(a: Axis, b: Axis, why: string): void {
  if (!a || !b) {
    fix(a ?? b, why);
    return;
  }
  const [p, q] = [resolved(a), resolved(b)];
  if (p.length === q.length && p.every((part, i) => alike(part, q[i]!))) {
    p.forEach((part, i) => void join(part, q[i]!, why));
    return;
  }
  if (bind(p, q) || bind(q, p)) return;
  fix(p, why);
  fix(q, why);
}

const isWhole = (p: Part): boolean => p.local === undefined && p.inner === 1;
const alike = (p: Part, q: Part): boolean =>
  p.group.size === q.group.size && p.local === q.local && p.inner === q.inner;

function join(p: Part, q: Part, why: string): void {
  if (p.group === q.group) return;
  // Earlier parts of the same lists may have joined them.
  const [first] = resolved([p]);
  const [other] = resolved([q]);
  if (first!.group === other!.group) return;
  const pair = [mutable(first!.group), mutable(other!.group)] as const;
  // The smaller becomes the larger, so that no chain of them grows long.
  const [from, to] = (pair[0].members ?? 1) > (pair[1].members ?? 1) ? [pair[1], pair[0]] : pair;
  to.members = (from.members ?? 1) + (to.members ?? 1);
  to.blocks = leastCommonMultiple(from.blocks, to.blocks);
  to.fixed ??= from.fixed;
  if (to.size % to.blocks !== 0) to.fixed ??= why;
  from.bound = [{ group: to, inner: 1 }];
}

/** Makes a group that is an axis by itself stand for a list of others. */
function bind(single: readonly Part[], list: readonly Part[]): boolean {
  const [part] = single;
  if (single.length !== 1 || !isWhole(part!) || extentOf(list) !== part!.group.size) return false;
  const group = mutable(part!.group);
  if (group.blocks > 1 || list.some((p) => p.group === part!.group)) return false;
  if (group.fixed !== undefined) fix(list, group.fixed);
  group.bound = list;
  return true;
}

/**
 * One of `count` equal blocks of an axis, of each of which the same channels stay from now on; undefined where its parts do not
 * divide so.
 */
export function blockOf(axis: readonly Part[], count: number): readonly Part[] | undefined {
  const parts = resolved(axis);
  if (count === 1) return parts;
  const period = parts.length / count;
  if (Number.isInteger(period)) {
    const isRepeated = parts.every((p, i) => alike(p, parts[i % period]!) && p.group === parts[i % period]!.group);
    if (isRepeated) return parts.slice(0, period);
  }
  const [part, ...more] = parts;
  if (more.length > 0 || part!.local !== undefined || part!.group.size % count !== 0) return undefined;
  const group = mutable(part!.group);
  const blocks = leastCommonMultiple(group.blocks, count);
  if (group.size % blocks !== 0) return undefined;
  group.blocks = blocks;
  return [{ group, local: group.size / count, inner: part!.inner }];
}

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y > 0) [x, y] = [y, x % y];
  return (a / x) * b;
}

/** Indices of an axis that stay, from those of each group. */
export const indicesOf = (axis: readonly Part[], kept: (g: ChannelGroup) => readonly number[]): number[] => {
  const indices: number[] = [];
  let start = 0;
  for (const { group, local = group.size, inner } of resolved(axis)) {
    for (const channel of kept(group))
      if (channel < local) for (let i = 0; i < inner; i++) indices.push(start + channel * inner + i);
    start += local * inner;
  }
  return indices;
};
