import { gzipSync } from "node:zlib";
import { dataOf, memorySource, type ResidentTensor } from "@pare/core";
import { expect, test } from "vitest";
import { readIdx } from "./idx.ts";

const bytes = Uint8Array.of(0, 0, 0x08, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6);
const read = (b: Uint8Array) => readIdx({ ...memorySource(b), name: "digits", close: async () => {} });

test("an IDX file is read, packed or not, and wide elements are big-endian", async () => {
  for (const b of [bytes, new Uint8Array(gzipSync(bytes))]) {
    const t = await read(b);
    expect([t.dtype, t.shape, [...dataOf(t as ResidentTensor<"uint8">)]]).toEqual([
      "uint8",
      [2, 3],
      [1, 2, 3, 4, 5, 6],
    ]);
  }
  const wide = await read(Uint8Array.of(0, 0, 0x0b, 1, 0, 0, 0, 2, 1, 2, 0xff, 0xfe));
  expect([...dataOf(wide as ResidentTensor<"int16">)]).toEqual([258, -2]);
});

test.each([
  ["does not start with two zeros", Uint8Array.of(1, 2, 3, 4)],
  ["unknown type 7", Uint8Array.of(0, 0, 7, 0)],
  ["ends inside its header", bytes.subarray(0, 9)],
  ["has 5 bytes of elements, and its header says 6", bytes.subarray(0, 17)],
  ["cannot be unpacked", new Uint8Array(gzipSync(bytes)).subarray(0, 20)],
])("what is wrong is named: %s", async (message, b) => {
  await expect(read(b)).rejects.toThrow(message);
});
