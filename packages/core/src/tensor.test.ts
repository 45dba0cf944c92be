import { describe, expect, test } from "vitest";
import {
  byteLengthOf,
  chunksOf,
  type DType,
  dataOf,
  lazyTensor,
  memorySource,
  resident,
  storageView,
  tensor,
} from "./index.ts";
import { stringsOf, stringTensor } from "./strings.ts";

const code = (expected: string) => expect.objectContaining({ code: expected });

test.each<[DType, (number | bigint)[], number[]]>([
  ["int4", [1, -1, 7], [0xf1, 0x07]],
  ["uint2", [0, 1, 2, 3, 2], [0b11100100, 0b10]],
  ["int64", [1, -1n], [1, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]],
  ["uint16", [258], [2, 1]],
  ["float32", [1], [0, 0, 128, 63]],
])("numbers become %s", (dtype, numbers, bytes) => {
  const t = tensor(dtype, [numbers.length], numbers);
  expect(Array.from(t.bytes)).toEqual(bytes);
  expect(t.byteLength).toBe(byteLengthOf(dtype, numbers.length));
});

describe("a tensor", () => {
  test("has two numbers for each complex element", () => {
    expect(dataOf(tensor("complex64", [2], [1, 2, 3, 4]))).toEqual(Float32Array.of(1, 2, 3, 4));
  });
  test.each<[readonly number[], string]>([
    [[3], "core/tensor-size"],
    [[-2, -1], "core/tensor-shape"],
    [[0.5, 4], "core/tensor-shape"],
    [[2 ** 30, 2 ** 30], "core/tensor-shape"],
    [[Number.NaN], "core/tensor-shape"],
  ])("refuses the shape %s", (shape, expected) => {
    expect(() => tensor("float32", shape, [1, 2])).toThrow(code(expected));
  });
  test("reads ranges that lie inside, and no others", async () => {
    const t = tensor("uint8", [4], [1, 2, 3, 4]);
    expect(Array.from(await t.read({ offset: 1, length: 2 }))).toEqual([2, 3]);
    for (const range of [
      { offset: -1, length: 1 },
      { offset: 3, length: 2 },
      { offset: 0.5, length: 1 },
      { offset: Number.NaN, length: 0 },
      { offset: 2 ** 53, length: 1 },
    ])
      await expect(t.read(range)).rejects.toThrow(code("core/range"));
    const reason = new Error("no");
    await expect(t.read(undefined, AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});

test("a lazy tensor checks what it is given and what comes back", async () => {
  const t = lazyTensor({
    dtype: "uint8",
    shape: [10],
    read: async ({ length }) => new Uint8Array(Math.min(length, 4)),
  });
  const chunks: number[] = [];
  for await (const chunk of chunksOf(t, undefined, 4)) {
    chunks.push(chunk.length);
    if (chunks.length === 2) break;
  }
  expect(chunks).toEqual([4, 4]);
  await expect(resident(t)).rejects.toThrow(code("core/short-read"));
  await expect(t.read({ offset: 8, length: 3 })).rejects.toThrow(code("core/range"));
});

test("bytes at any offset are seen as elements, those of a Node Buffer too", () => {
  const bytes = new Uint8Array(17);
  bytes.set(new Uint8Array(Float64Array.of(0.5, -2).buffer), 1);
  expect(Array.from(storageView("float64", bytes.subarray(1)))).toEqual([0.5, -2]);
  expect(Array.from(storageView("float64", Buffer.from(bytes.buffer).subarray(1)))).toEqual([0.5, -2]);
});

test("strings may hold what is not UTF-8", () => {
  const t = stringTensor([3], ["ä", "", Uint8Array.of(255)]);
  expect(stringsOf(t).map((b) => Array.from(b))).toEqual([[195, 164], [], [255]]);
  expect(() => stringTensor([2], ["a"])).toThrow(code("core/tensor-size"));
});

test("memory is a source", async () => {
  const source = memorySource(Uint8Array.of(1, 2, 3), "three");
  expect(Array.from(await source.read({ offset: 2, length: 1 }))).toEqual([3]);
  await expect(source.read({ offset: 2, length: 2 })).rejects.toThrow(/outside.*three/);
});
