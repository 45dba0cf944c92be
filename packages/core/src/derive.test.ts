import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  byteLengthOf,
  computedTensor,
  type DType,
  deriveTensor,
  elementsOf,
  lazyTensor,
  memo,
  resident,
  type Tensor,
  tensor,
} from "./index.ts";

const code = (expected: string) => expect.objectContaining({ code: expected });
const PIECE = 262_144;

/** A lazy copy of bytes that counts. */
function counted<D extends DType>(t: Tensor<D>) {
  const reads = { bytes: 0, calls: 0 };
  const source = lazyTensor({
    dtype: t.dtype,
    shape: t.shape,
    key: "source",
    async read(range, signal) {
      reads.calls++;
      reads.bytes += range.length;
      return t.read(range, signal);
    },
  });
  return { source, reads };
}
const ramp = (count: number) =>
  tensor(
    "float32",
    [count],
    Float32Array.from({ length: count }, (_, i) => i),
  );

describe("a derived tensor", () => {
  test.each<[DType, number]>([
    ["float32", 2 * PIECE + 77],
    ["float64", PIECE + 1],
    ["int4", 2 * PIECE + 3],
    ["uint2", PIECE + 5],
    ["complex128", PIECE + 2],
    ["bool", 1],
    ["int8", 0],
  ])("of %s reads in ranges as in whole, prepared once", async (dtype, count) => {
    const bytes = Uint8Array.from({ length: byteLengthOf(dtype, count) }, (_, i) => (i * 31) ^ (i >> 7));
    const { source } = counted(tensor(dtype, [count], bytes));
    let prepared = 0;
    const starts = new Set<number>();
    const derived = deriveTensor(source, {
      key: "flip@1",
      prepare: () => ++prepared,
      map(data, _, start) {
        starts.add(start);
        const flipped = new Uint8Array(data.buffer, data.byteOffset, data.byteLength).map((v) => v ^ 255);
        return new (data.constructor as new (b: ArrayBuffer) => typeof data)(flipped.buffer);
      },
    });
    expect(derived.key).toBe("source|flip@1");
    const whole = await derived.read();
    expect(
      Buffer.compare(
        whole,
        bytes.map((v) => v ^ 255),
      ),
    ).toBe(0);
    expect([...starts].every((s) => s % PIECE === 0)).toBe(true);
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length), fc.nat(bytes.length), async (a, b) => {
        const [offset, end] = [Math.min(a, b), Math.max(a, b)];
        const part = await derived.read({ offset, length: end - offset });
        expect(Buffer.compare(part, whole.subarray(offset, end))).toBe(0);
      }),
      {
        numRuns: 12,
        examples: [
          [0, bytes.length],
          [bytes.length, bytes.length],
        ],
      },
    );
    expect(prepared).toBe(count === 0 ? prepared : 1);
    await expect(derived.read({ offset: bytes.length, length: 1 })).rejects.toThrow(code("core/range"));
  });

  test("of another element type packs and unpacks at the same pieces", async () => {
    const count = PIECE + 9;
    const nibbles = deriveTensor(ramp(count), {
      key: "nibbles",
      dtype: "uint4",
      map: (data) =>
        Uint8Array.from(
          { length: Math.ceil(data.length / 2) },
          (_, i) => (data[2 * i]! & 15) | ((data[2 * i + 1]! & 15) << 4),
        ),
    });
    const back = deriveTensor(nibbles, {
      key: "back",
      dtype: "float32",
      map: (data, _, start) =>
        Float32Array.from(
          { length: Math.min(count - start, 2 * data.length) },
          (_, i) => (data[i >> 1]! >> (4 * (i & 1))) & 15,
        ),
    });
    const whole = new Float32Array((await back.read()).slice().buffer);
    expect(whole.every((v, i) => v === i % 16)).toBe(true);
  });

  test("twelve passes deep, each with statistics, reads its source thirteen times", async () => {
    const { source, reads } = counted(ramp(3 * PIECE));
    let t: Tensor<"float32"> = source;
    for (let i = 0; i < 12; i++)
      t = deriveTensor(t, {
        key: `add-${i}`,
        async prepare(chunks) {
          let most = 0;
          for await (const { data } of chunks) for (const v of data) most = Math.max(most, v);
          return most / 1e6;
        },
        map: (data, by) => data.map((v) => v + by),
      });
    expect(reads.bytes).toBe(0);
    await t.read();
    expect(reads.bytes).toBe(13 * source.byteLength);
    await t.read({ offset: 4, length: 8 });
    expect(reads.bytes).toBe(13 * source.byteLength + 4 * PIECE);
  });

  test("refuses another count of elements, a map of another length, and strings", async () => {
    const t = ramp(4);
    expect(() => deriveTensor(t, { key: "k", shape: [5], map: (d) => d })).toThrow(code("core/derive-size"));
    expect(deriveTensor(t, { key: "k", shape: [2, 2], map: (d) => d }).shape).toEqual([2, 2]);
    await expect(deriveTensor(t, { key: "k", map: (d) => d.subarray(1) }).read()).rejects.toThrow(
      code("core/derive-size"),
    );
    const strings = tensor("string", [1], new Uint8Array([1, 0, 0, 0, 65]));
    expect(() => deriveTensor(strings, { key: "k", map: (d) => d })).toThrow(code("core/derive-string"));
    await expect(elementsOf(strings).next()).rejects.toThrow(code("core/derive-string"));
  });

  test("rejects with the signal's reason, and works for the next reader", async () => {
    let open = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const { source } = counted(ramp(10));
    const t = deriveTensor(source, {
      key: "slow",
      async prepare(_, signal) {
        await gate;
        signal?.throwIfAborted();
        return 1;
      },
      map: (data, by) => data.map((v) => v + by),
    });
    const reason = new Error("enough");
    await expect(t.read(undefined, AbortSignal.abort(reason))).rejects.toBe(reason);
    const controller = new AbortController();
    const first = t.read(undefined, controller.signal);
    const second = t.read();
    controller.abort(reason);
    open();
    await expect(first).rejects.toBe(reason);
    expect((await second).length).toBe(40);
  });
});

test("memo remembers results and not failures, and its waiters go on when the first was aborted", async () => {
  let calls = 0;
  const value = memo(async (signal) => {
    calls++;
    await Promise.resolve();
    signal?.throwIfAborted();
    if (calls === 2) throw new Error("once");
    return calls;
  });
  const controller = new AbortController();
  const [a, b] = [value(controller.signal), value()];
  controller.abort(new Error("mine"));
  await expect(a).rejects.toThrow("mine");
  await expect(b).rejects.toThrow("once");
  expect(await value()).toBe(3);
  expect(await Promise.all([value(), value()])).toEqual([3, 3]);
});

test("a computed tensor is computed once, when it is read, and must have its size", async () => {
  let calls = 0;
  const compute = async () => Float32Array.of(++calls, 2);
  const t = computedTensor({ dtype: "float32", shape: [2], key: "k", compute });
  expect(calls).toBe(0);
  expect((await resident(t)).key).toBe("k");
  expect((await t.read({ offset: 4, length: 4 })).length).toBe(4);
  expect(calls).toBe(1);
  await expect(computedTensor({ dtype: "float32", shape: [1], compute }).read()).rejects.toThrow(
    code("core/tensor-size"),
  );
});
