import { dataOf, lazyTensor, type ResidentTensor, resident, tensor } from "@pare/core";
import { pack } from "@pare/ops/numeric";
import { expect, test } from "vitest";
import { transposed, widened } from "./constant.ts";

/** The element of the result at `at`, by definition. */
function elementAt(t: ResidentTensor<"float32">, perm: readonly number[], flipped: readonly number[], at: number[]) {
  const source = t.shape.map((d, axis) => {
    const n = at[perm.indexOf(axis)]!;
    return flipped.includes(axis) ? d - 1 - n : n;
  });
  return dataOf(t)[source.reduce((sum, n, axis) => sum * t.shape[axis]! + n, 0)];
}

test.each([
  { shape: [3000, 1001], perm: [1, 0], flipped: [] },
  { shape: [3000, 1001], perm: [1, 0], flipped: [1] },
  { shape: [2, 3, 700, 600], perm: [0, 2, 3, 1], flipped: [2, 3] },
  { shape: [600, 3, 7, 200], perm: [1, 2, 3, 0], flipped: [1, 2] },
  { shape: [5, 500_001], perm: [0, 1], flipped: [0] },
])("a large constant $shape is put in the order $perm in blocks", async ({ shape, perm, flipped }) => {
  const count = shape.reduce((n, d) => n * d, 1);
  const whole = tensor(
    "float32",
    shape,
    Float32Array.from({ length: count }, (_, i) => i),
  );
  let largest = 0;
  const lazy = lazyTensor({
    dtype: "float32",
    shape,
    read({ offset, length }) {
      largest = Math.max(largest, length);
      return whole.read({ offset, length });
    },
  });
  const [a, b] = [transposed(whole, perm, flipped), transposed(lazy, perm, flipped)];
  expect(a.shape).toEqual(perm.map((axis) => shape[axis]));
  // A reader that begins somewhere, and one that goes through all.
  const part = { offset: 4 * (count - 1000), length: 4000 };
  expect(Buffer.compare(await b.read(part), await a.read(part))).toBe(0);
  const all = dataOf((await resident(b)) as ResidentTensor<"float32">);
  expect(Buffer.compare(Buffer.from(all.buffer, all.byteOffset, all.byteLength), a.bytes!)).toBe(0);
  for (let n = 0; n < 200; n++) {
    let rest = (n * 7919 * 101) % count;
    const i = rest;
    const at = [...a.shape].reverse().map((d) => {
      const place = rest % d;
      rest = Math.floor(rest / d);
      return place;
    });
    expect(all[i]).toBe(elementAt(whole, perm, flipped, at.reverse()));
  }
  expect(largest).toBeLessThanOrEqual(1 << 20);
});

test.each(["int4", "uint4"] as const)(
  "constants of %s have a byte for each element, in memory or read in pieces",
  async (dtype) => {
    const count = 3 * 300_001;
    const codes = Int8Array.from({ length: count }, (_, i) => ((i * 7) % 16) - (dtype === "int4" ? 8 : 0));
    const whole = tensor(dtype, [3, 300_001], pack(dtype, codes));
    const lazy = lazyTensor({ dtype, shape: whole.shape, read: (range) => whole.read(range) });
    for (const t of [whole, lazy]) {
      const wide = await resident(widened(t));
      expect(wide.dtype).toBe(dtype.replace("4", "8"));
      expect(Buffer.compare(wide.bytes, Buffer.from(codes.buffer))).toBe(0);
    }
    const same = tensor("int8", [2], [1, 2]);
    expect(widened(same)).toBe(same);
  },
);
