import { dataOf, memorySource } from "@pare/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { readNpz } from "./npz.ts";

/** `savez_compressed(x=zeros((4, 64), "<f4"), n=arange(3, dtype="<i2"))` and `savez(arange(3, dtype="<i2"))` of numpy 2.4.6. */
const PACKED = Buffer.from(
  "UEsDBC0AAAAIAAAAIQDfQoV0//////////8FABQAeC5ucHkBABAAgAQAAAAAAABPAAAAAAAAAJvsF+obEMnIUMZQrZ6SWpxcpG6loG6TZqKuo6Cell9UUpSYF59flJIKEndLzClOBYoXZyQWpAL5GiY6CmYmmjoKtQrkAi6GUTAKRsGIBQBQSwMELQAAAAgAAAAhAGrP8lH//////////wUAFABuLm5weQEAEACGAAAAAAAAAEoAAAAAAAAAm+wX6hsQychQxlCtnpJanFykbqWgbpNppK6joJ6WX1RSlJgXn1+UkgoSd0vMKU4FihdnJBakAvkaxjqaOgq1ChQALgYGRgYmBgBQSwECLQMtAAAACAAAACEA30KFdE8AAACABAAABQAAAAAAAAAAAAAAgAEAAAAAeC5ucHlQSwECLQMtAAAACAAAACEAas/yUUoAAACGAAAABQAAAAAAAAAAAAAAgAGGAAAAbi5ucHlQSwUGAAAAAAIAAgBmAAAABwEAAAAA",
  "base64",
);
const STORED = Buffer.from(
  "UEsDBC0AAAAAAAAAIQBqz/JR//////////8JABQAYXJyXzAubnB5AQAQAIYAAAAAAAAAhgAAAAAAAACTTlVNUFkBAHYAeydkZXNjcic6ICc8aTInLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoMywpLCB9ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgCgAAAQACAFBLAQItAy0AAAAAAAAAIQBqz/JRhgAAAIYAAAAJAAAAAAAAAAAAAACAAQAAAABhcnJfMC5ucHlQSwUGAAAAAAEAAQA3AAAAwQAAAAAA",
  "base64",
);
const read = (bytes: Uint8Array) => readNpz(memorySource(new Uint8Array(bytes)));

test("reads the arrays that numpy packed, by their names", async () => {
  const arrays = await read(PACKED);
  expect([...arrays].map(([name, t]) => [name, t.dtype, t.shape])).toEqual([
    ["x", "float32", [4, 64]],
    ["n", "int16", [3]],
  ]);
  expect([...dataOf(arrays.get("n")!)]).toEqual([0, 1, 2]);
});

test("reads those that are only stored", async () => {
  expect([...dataOf((await read(STORED)).get("arr_0")!)]).toEqual([0, 1, 2]);
});

test("what is no such file is refused", async () => {
  await expect(read(new Uint8Array(100))).rejects.toThrow(/no end record/);
  await expect(read(PACKED.subarray(40))).rejects.toThrow(/io\/np[yz]/);
});

test("a file that was damaged gives arrays or a PareError, and nothing else", async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(PACKED.length - 1), fc.nat(255), async (at, byte) => {
      const bytes = Uint8Array.from(PACKED);
      bytes[at] = byte;
      await read(bytes).catch((error) => expect(String(error)).toMatch(/io\/np[yz]/));
    }),
  );
});
