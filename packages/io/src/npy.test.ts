import { dataOf, memorySource } from "@pare/core";
import { expect, test } from "vitest";
import { readNpy } from "./npy.ts";

function npy(header: string, data: ArrayBufferView = new Uint8Array(), major = 1): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(header);
  const start = major === 1 ? 10 : 12;
  const bytes = new Uint8Array(start + text.length + data.byteLength);
  bytes.set([0x93, 78, 85, 77, 80, 89, major, 0]);
  if (major === 1) new DataView(bytes.buffer).setUint16(8, text.length, true);
  else new DataView(bytes.buffer).setUint32(8, text.length, true);
  bytes.set(text, start);
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), start + text.length);
  return bytes;
}
const head = (descr: string, shape: string, order = "False") =>
  `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': (${shape}), }`;
const read = (bytes: Uint8Array) => readNpy(memorySource(bytes));

test("reads the bytes that numpy 2 writes", async () => {
  // numpy.save(numpy.arange(3, dtype='<i2')), as numpy 2.4.6 wrote it.
  const saved = Buffer.from(
    "k05VTVBZAQB2AHsnZGVzY3InOiAnPGkyJywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDMsKSwgfSAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAEAAgA=",
    "base64",
  );
  const t = await read(saved);
  expect([t.dtype, t.shape, [...dataOf(t)]]).toEqual(["int16", [3], [0, 1, 2]]);
});

test.each([1, 2, 3])("reads format version %i", async (major) => {
  const t = await read(npy(head("<f4", "2, 3"), Float32Array.from([1, 2, 3, 4, 5, 6]), major));
  expect([t.dtype, t.shape, [...dataOf(t)]]).toEqual(["float32", [2, 3], [1, 2, 3, 4, 5, 6]]);
});

test("reads scalars, empty arrays and booleans", async () => {
  expect((await read(npy(head("<f8", ""), Float64Array.of(7)))).shape).toEqual([]);
  expect((await read(npy(head("<i8", "0, 4")))).shape).toEqual([0, 4]);
  expect((await read(npy(head("|b1", "2,"), Uint8Array.of(1, 0)))).dtype).toBe("bool");
  expect((await read(npy(head("<f4", "2,", "True"), Float32Array.of(1, 2)))).shape).toEqual([2]);
});

test.each([
  ["other bytes", new TextEncoder().encode("PK\x03\x04 something else")],
  ["nothing", new Uint8Array()],
  ["a cut preamble", npy(head("<f4", "2,")).slice(0, 9)],
  ["a cut header", npy(head("<f4", "2,")).slice(0, 30)],
  ["cut data", npy(head("<f4", "2,"), new Uint8Array(7))],
  ["bytes behind the data", npy(head("<f4", "2,"), new Uint8Array(9))],
  ["pickled objects", npy(head("|O", "1,"), new Uint8Array(8))],
  ["big endian", npy(head(">f4", "1,"), new Uint8Array(4))],
  ["Fortran order", npy(head("<f4", "1, 1", "True"), new Uint8Array(4))],
  ["a negative dimension", npy(head("<f4", "-1, -1"), new Uint8Array(4))],
  ["a shape whose size overflows", npy(head("<f4", "4294967296, 4294967296, 4294967296"), new Uint8Array(0))],
  ["too many dimensions", npy(head("<f4", "1,".repeat(65)), new Uint8Array(4))],
  ["no shape", npy("{'descr': '<f4', 'fortran_order': False}", new Uint8Array(4))],
  ["version 9", npy(head("<f4", "1,"), new Uint8Array(4), 9)],
])("%s gives io/npy", async (_, bytes) => {
  await expect(read(bytes)).rejects.toThrow(expect.objectContaining({ code: "io/npy" }));
});

test("a header that claims 4 GB is refused before it is read", async () => {
  const bytes = npy("x", new Uint8Array(), 2);
  new DataView(bytes.buffer).setUint32(8, 0xffffffff, true);
  await expect(read(bytes)).rejects.toThrow("longer than 65536");
});
