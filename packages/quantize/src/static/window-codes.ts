/** A convolution's window, as its attributes say. */
export interface Window {
  readonly group: number;
  /** Output channels, and input channels of a group. */
  readonly columns: number;
  readonly perGroup: number;
  readonly kernel: readonly number[];
  readonly strides: readonly number[] | undefined;
  readonly dilations: readonly number[] | undefined;
  readonly pads: readonly number[] | undefined;
  readonly autoPad: string | Uint8Array | undefined;
  /** What stands where the window reaches over the edge. */
  readonly padding: number;
}

/**
 * The numbers under the window of each output `[N, columns, …]` over an input `[N, C, …]`: the `k`-th goes through the
 * channels of a group first, then through the positions of the window.
 */
export function convolutionCodes(
  data: ArrayLike<number>,
  input: readonly number[],
  output: readonly number[],
  { group, columns, perGroup, kernel, padding, ...more }: Window,
): (index: number, k: number) => number {
  const [, channels = 0, ...size] = input;
  const area = size.reduce((n, d) => n * d, 1);
  const spatial = output.slice(2);
  const outArea = spatial.reduce((n, d) => n * d, 1);
  const strides = more.strides ?? kernel.map(() => 1);
  const dilations = more.dilations ?? kernel.map(() => 1);
  const begin = kernel.map((d, axis) => {
    if (more.autoPad !== "SAME_UPPER" && more.autoPad !== "SAME_LOWER") return more.pads?.[axis] ?? 0;
    const reach = (d - 1) * dilations[axis]! + 1;
    const total = Math.max(0, (spatial[axis]! - 1) * strides[axis]! + reach - size[axis]!);
    return more.autoPad === "SAME_UPPER" ? total >> 1 : total - (total >> 1);
  });
  return (index, k) => {
    const column = Math.floor(index / outArea) % columns;
    const sample = Math.floor(index / outArea / columns);
    const channel = Math.floor(column / (columns / group)) * perGroup + (k % perGroup);
    let [at, stride] = [0, 1];
    let [position, place] = [Math.floor(k / perGroup), index % outArea];
    for (let axis = kernel.length - 1; axis >= 0; axis--) {
      const inside =
        (place % spatial[axis]!) * strides[axis]! + (position % kernel[axis]!) * dilations[axis]! - begin[axis]!;
      if (inside < 0 || inside >= size[axis]!) return padding;
      at += inside * stride;
      stride *= size[axis]!;
      place = Math.floor(place / spatial[axis]!);
      position = Math.floor(position / kernel[axis]!);
    }
    return data[(sample * channels + channel) * area + at]!;
  };
}
