import { memorySource } from "@pare/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { decode } from "./decode.ts";
import { encode } from "./encode.ts";
import { inMemory } from "./payload.ts";
import { type Field, type Kind, planOf, type Scalar } from "./plan.ts";
import { type TableName, type Tables, tables } from "./schema.gen.ts";

const integers: Partial<Record<Scalar, readonly [bigint, bigint]>> = {
  i8: [-128n, 127n],
  u8: [0n, 255n],
  i16: [-32768n, 32767n],
  u16: [0n, 65535n],
  i32: [-(2n ** 31n), 2n ** 31n - 1n],
  u32: [0n, 2n ** 32n - 1n],
  i64: [-(2n ** 63n), 2n ** 63n - 1n],
  u64: [0n, 2n ** 64n - 1n],
};
const exact = (n: bigint) => (Number.isSafeInteger(Number(n)) ? Number(n) : n);

function scalars(kind: Extract<Kind, { is: "scalar" }>): fc.Arbitrary<unknown> {
  if (kind.names) return fc.constantFrom<unknown>(...kind.names, kind.names.length + 3);
  if (kind.scalar === "bool") return fc.boolean();
  if (kind.scalar === "f32") return fc.float({ noNaN: true });
  const [min, max] = integers[kind.scalar]!;
  return fc.bigInt({ min, max }).map(exact);
}

const many = (of: Kind, depth: number): fc.Arbitrary<unknown> => {
  if (of.is === "scalar" && of.scalar === "u8" && !of.names) return fc.uint8Array({ maxLength: 9 });
  return fc.array(of.is === "scalar" ? scalars(of) : one(of, depth), { maxLength: 3 });
};
const one = (kind: Exclude<Kind, { is: "scalar" }>, depth: number): fc.Arbitrary<unknown> =>
  kind.is === "string" ? fc.string({ unit: "grapheme", maxLength: 6 }) : tableOf(kind.table, depth + 1);

function fieldOf(field: Field, depth: number): fc.Arbitrary<unknown> {
  switch (field.is) {
    case "scalar":
      return scalars(field).filter((v) => !Object.is(numberOf(field, v), field.fallback));
    case "payload":
      return fc.uint8Array({ maxLength: 40 }).map(inMemory);
    case "union":
      return fc
        .constantFrom(...field.members)
        .chain((type) => tableOf(type, depth + 1).map((value) => ({ type, value })));
    case "vector":
      return many(field.of, depth);
    default:
      return one(field, depth);
  }
}
const numberOf = (field: { names?: readonly string[] }, v: unknown) =>
  typeof v === "string" ? field.names!.indexOf(v) : Number(v);

/** A table with some of its fields. */
function tableOf(table: TableName, depth: number): fc.Arbitrary<object> {
  const fields = planOf(table).fields.map((f): [string, fc.Arbitrary<unknown>] => [f.name, fieldOf(f, depth)]);
  return fc.record(Object.fromEntries(fields), { requiredKeys: [] }).map((r) => ({ ...r }));
}

/** With bytes in the place of payloads, so that they compare. */
const plain = (v: unknown): unknown => {
  if (v instanceof Uint8Array || typeof v !== "object" || v === null) return v;
  if (Array.isArray(v)) return v.map(plain);
  if ("read" in v) return { bytes: (v as { bytes?: Uint8Array }).bytes };
  return Object.fromEntries(Object.entries(v).map(([k, inner]) => [k, plain(inner)]));
};

const bytesOf = async (pieces: ReturnType<typeof encode>): Promise<Uint8Array> => {
  const out = new Uint8Array(pieces.byteLength);
  let at = 0;
  for (const piece of pieces.pieces) {
    out.set(piece instanceof Uint8Array ? piece : await piece.read(), at);
    at += piece.byteLength;
  }
  return out;
};

test.each(Object.keys(tables) as TableName[])("%s comes back as it was written", async (table) => {
  const runs = table === "Model" || table === "SubGraph" ? 100 : 20;
  await fc.assert(
    fc.asyncProperty(tableOf(table, 0), async (value) => {
      const bytes = await bytesOf(encode(table, value as Tables[typeof table]));
      const { root, end } = await decode(memorySource(bytes), table);
      expect(plain(root)).toEqual(plain(value));
      expect(end).toBe(bytes.length);
    }),
    { numRuns: runs },
  );
});

test("data is aligned to 16 bytes, whatever comes before it", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { minLength: 1 }), async (datas) => {
      const marked = datas.map((d, i) => Uint8Array.of(0xab, i & 255, 0xcd, i >> 8, ...d));
      const bytes = Buffer.from(
        await bytesOf(encode("Model", { version: 3, buffers: marked.map((d) => ({ data: inMemory(d) })) })),
      );
      for (const d of marked) expect(bytes.indexOf(Buffer.from(d)) % 16).toBe(0);
    }),
  );
});

test("values that do not fit are refused, with where they are", () => {
  const write = (value: Tables["Tensor"]) => () => encode("Tensor", value);
  expect(write({ buffer: -1 })).toThrow(/Tensor\.buffer: -1 is no u32/);
  expect(write({ shape: [1, 2 ** 31] })).toThrow(/Tensor\.shape\[1\]/);
  expect(write({ type: "NOPE" as never })).toThrow(/Tensor\.type: NOPE/);
  expect(write({ quantization: { quantized_dimension: 0.5 } })).toThrow(/quantized_dimension: 0.5/);
});
