import { type DType, isPareError, resident, tensor } from "@pare/core";
import { codeOf, dtypeOf } from "@pare/ops/dtype-codes";
import { describe, expect, test } from "vitest";
import type { Stored } from "./proto.ts";
import { readTensor, type TensorProto, writeTensor } from "./tensors.ts";
import { concat, varint } from "./test/fixtures.ts";

const ints = (...values: (number | bigint)[]) => concat(...values.map(varint));
const codeOfFailure = async (p: TensorProto, read = false) => {
  try {
    const t = readTensor(p);
    if (read) await t.read();
  } catch (error) {
    return isPareError(error) ? error.code : String(error);
  }
  return "none";
};

test("element types have the numbers of TensorProto.DataType", () => {
  const known: [DType, number][] = [
    ["float32", 1],
    ["string", 8],
    ["float64", 11],
    ["bfloat16", 16],
    ["float8e5m2fnuz", 20],
    ["int4", 22],
    ["float8e8m0", 24],
    ["int2", 26],
  ];
  for (const [dtype, code] of known) {
    expect(codeOf(dtype)).toBe(code);
    expect(dtypeOf(code)).toBe(dtype);
  }
  expect(dtypeOf(0)).toBeUndefined();
  expect(dtypeOf(27)).toBeUndefined();
});

describe("a tensor is the same in every field that may hold it", () => {
  const le = (view: ArrayBufferView) => new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength);
  const cases: [DType, TensorProto, Uint8Array][] = [
    ["float32", { float_data: le(Float32Array.of(1.5, -2)) }, le(Float32Array.of(1.5, -2))],
    ["complex64", { float_data: le(Float32Array.of(1, 2, 3, 4)) }, le(Float32Array.of(1, 2, 3, 4))],
    ["float64", { double_data: le(Float64Array.of(1.5, -2)) }, le(Float64Array.of(1.5, -2))],
    ["complex128", { double_data: le(Float64Array.of(1, 2, 3, 4)) }, le(Float64Array.of(1, 2, 3, 4))],
    ["int32", { int32_data: ints(-1, 2 ** 31 - 1) }, le(Int32Array.of(-1, 2 ** 31 - 1))],
    ["int16", { int32_data: ints(-2, 300) }, le(Int16Array.of(-2, 300))],
    ["uint16", { int32_data: ints(65535, 7) }, le(Uint16Array.of(65535, 7))],
    ["float16", { int32_data: ints(0x3c00, 0xc000) }, le(Uint16Array.of(0x3c00, 0xc000))],
    ["bfloat16", { int32_data: ints(0x3f80, 0xbf80) }, le(Uint16Array.of(0x3f80, 0xbf80))],
    ["int8", { int32_data: ints(-128, 127) }, le(Int8Array.of(-128, 127))],
    ["uint8", { int32_data: ints(255, 1) }, Uint8Array.of(255, 1)],
    ["bool", { int32_data: ints(1, 0) }, Uint8Array.of(1, 0)],
    ["float8e4m3fn", { int32_data: ints(0x38, 0xb8) }, Uint8Array.of(0x38, 0xb8)],
    ["float8e8m0", { int32_data: ints(127, 128) }, Uint8Array.of(127, 128)],
    ["int64", { int64_data: ints(-1, 2n ** 62n) }, le(BigInt64Array.of(-1n, 2n ** 62n))],
    ["uint64", { uint64_data: ints(2n ** 64n - 1n, 3) }, le(BigUint64Array.of(2n ** 64n - 1n, 3n))],
    ["uint32", { uint64_data: ints(2 ** 32 - 1, 3) }, le(Uint32Array.of(2 ** 32 - 1, 3))],
    ["int4", { int32_data: ints(0x21) }, Uint8Array.of(0x21)],
    ["uint2", { int32_data: ints(0x0b) }, Uint8Array.of(0x0b)],
  ];
  for (const [dtype, data, bytes] of cases)
    test(dtype, async () => {
      const base = { dims: [2], data_type: codeOf(dtype) };
      expect(readTensor({ ...base, ...data }).bytes).toEqual(bytes);
      expect(readTensor({ ...base, raw_data: bytes }).bytes).toEqual(bytes);
      const [field] = Object.keys(data) as (keyof TensorProto)[];
      const stored: Stored = {
        byteLength: (data[field!] as Uint8Array).byteLength,
        read: async (r) => (data[field!] as Uint8Array).slice(r.offset, r.offset + r.length),
      };
      expect(await readTensor({ ...base, [field!]: stored }).read()).toEqual(bytes);
      expect(writeTensor(tensor(dtype, [2], bytes))).toEqual({ ...base, raw_data: bytes });
    });

  test("string", () => {
    const strings = [Uint8Array.of(97), Uint8Array.of(0xff, 0)];
    const p = { dims: [2], data_type: 8, string_data: strings };
    expect(writeTensor(readTensor(p))).toEqual(p);
  });
});

test("a long list of integers in the file is read by range", async () => {
  const count = 200_000;
  const values = Array.from({ length: count }, (_, i) => (i % 3 === 0 ? -i : i * 1000));
  const list = Uint8Array.from(values.flatMap(varint));
  let moved = 0;
  const stored: Stored = {
    byteLength: list.length,
    async read({ offset, length }) {
      moved += length;
      return list.slice(offset, offset + length);
    },
  };
  const t = readTensor({ dims: [count], data_type: 7, int64_data: stored });
  const at = 131_070;
  const part = await t.read({ offset: 8 * at, length: 32 });
  expect([...new BigInt64Array(part.slice().buffer)].map(Number)).toEqual(values.slice(at, at + 4));
  moved = 0;
  await t.read({ offset: 0, length: 8 });
  expect(moved).toBeLessThan(list.length / 2);
  const all = new BigInt64Array((await resident(t)).bytes.slice().buffer);
  expect(all.every((v, i) => Number(v) === values[i])).toBe(true);
});

test("what does not fit is refused, and nothing is allocated for it", async () => {
  const raw = new Uint8Array(4);
  expect(await codeOfFailure({ dims: [2 ** 31, 2 ** 31, 2 ** 31], data_type: 1 })).toBe("onnx/tensor-shape");
  expect(await codeOfFailure({ dims: [2 ** 45], data_type: 1 })).toBe("onnx/tensor-size");
  expect(await codeOfFailure({ dims: [2 ** 45], data_type: 7, int64_data: raw })).toBe("onnx/tensor-size");
  expect(await codeOfFailure({ dims: [2 ** 45], data_type: 8 })).toBe("onnx/tensor-size");
  expect(await codeOfFailure({ dims: [-1], data_type: 1 })).toBe("onnx/tensor-shape");
  expect(await codeOfFailure({ dims: [2n ** 60n], data_type: 1 })).toBe("onnx/tensor-shape");
  expect(await codeOfFailure({ dims: [2], data_type: 1, raw_data: raw })).toBe("onnx/tensor-size");
  expect(await codeOfFailure({ dims: [1], data_type: 0, raw_data: raw })).toBe("onnx/dtype");
  expect(await codeOfFailure({ dims: [1], data_type: 1, int32_data: raw })).toBe("onnx/tensor-data");
  expect(await codeOfFailure({ dims: [1], data_type: 1, raw_data: raw, float_data: raw })).toBe("onnx/tensor-data");
  expect(await codeOfFailure({ dims: [1], data_type: 8, raw_data: raw })).toBe("onnx/tensor-data");
  expect(await codeOfFailure({ dims: [4], data_type: 2, raw_data: raw, string_data: [raw] })).toBe("onnx/tensor-data");
  expect(await codeOfFailure({ dims: [4], data_type: 2, raw_data: raw, segment: { begin: 0, end: 4 } })).toBe(
    "onnx/tensor-data",
  );
  const short: Stored = { byteLength: 2, read: async () => Uint8Array.of(1, 2) };
  expect(await codeOfFailure({ dims: [3], data_type: 6, int32_data: short }, true)).toBe("onnx/tensor-size");
});
