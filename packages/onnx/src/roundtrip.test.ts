import { memorySource } from "@pare/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decode } from "./decode.ts";
import { encode } from "./encode.ts";
import { type Field, type Message, type MessageName, type Plan, planOf, proto } from "./proto.ts";
import { bytesOfMessage, fileLike, richDocument, sameBytes, varint } from "./test/fixtures.ts";
import { bytesOfText, textOf } from "./text.ts";

const int64 = fc
  .bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
  .map((n) => (n >= BigInt(Number.MIN_SAFE_INTEGER) && n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : n));
const bytes = (multiple = 1) =>
  fc.uint8Array({ maxLength: 24 }).map((b) => b.slice(0, b.length - (b.length % multiple)));
/** What a decoder gives for any bytes. */
const lossyText = fc
  .oneof(fc.string({ unit: "binary" }), fc.uint8Array({ maxLength: 8 }).map(textOf))
  .map((s) => textOf(bytesOfText(s)));
const float = fc.float({ noNaN: true });

function valueFor(field: Field, depth: number): fc.Arbitrary<unknown> {
  switch (field.type) {
    case "message":
      return messageFor(field.plan!, depth + 1);
    case "string":
      return lossyText;
    case "bytes":
    case "raw":
      return bytes();
    case "int32":
      return fc.integer();
    case "int64":
      return int64;
    case "float":
      return float;
    case "floats":
      return bytes(4).filter((b) => b.length > 0);
    case "doubles":
      return bytes(8).filter((b) => b.length > 0);
    case "varints":
      return fc.array(int64, { minLength: 1, maxLength: 4 }).map((list) => Uint8Array.from(list.flatMap(varint)));
    default:
      return field.type satisfies never;
  }
}

function messageFor(plan: Plan, depth: number): fc.Arbitrary<Record<string, unknown>> {
  const fields = plan.fields.filter((f) => f !== undefined && (depth < 3 || f.type !== "message")) as Field[];
  const record: Record<string, fc.Arbitrary<unknown>> = {};
  for (const field of fields) {
    const one = valueFor(field, depth);
    record[field.name] = !field.repeated
      ? one
      : field.type === "float"
        ? fc.array(float, { minLength: 1, maxLength: 3 }).map((list) => Float32Array.from(list))
        : fc.array(one, { minLength: 1, maxLength: depth < 2 ? 3 : 1 });
  }
  return fc.record(record, { requiredKeys: [] }).map((m) => {
    const chosen = fields.find((f) => f.rivals && f.name in m);
    return Object.fromEntries(Object.entries(m).filter(([k]) => !chosen?.rivals?.includes(k)));
  });
}

describe("what is written is read back, field for field", () => {
  for (const name of Object.keys(proto) as MessageName[])
    test(name, async () => {
      await fc.assert(
        fc.asyncProperty(messageFor(planOf(name), 0), async (message) => {
          const written = await bytesOfMessage(name, message as Message<typeof name>);
          const read = await decode(fileLike(written), name);
          expect(read).toEqual(message);
          expect(await bytesOfMessage(name, read)).toEqual(written);
        }),
        { numRuns: 25, seed: 1 },
      );
    });
});

test("every field of every message has its own number and comes back", async () => {
  for (const [name, fields] of Object.entries(proto) as [MessageName, Record<string, string>][]) {
    const numbers = Object.values(fields).map((spec) => Number(spec.split(" ")[0]));
    expect(new Set(numbers).size).toBe(numbers.length);
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    for (const field of planOf(name).fields) {
      if (!field) continue;
      const [value] = fc.sample(valueFor(field, 4), { numRuns: 1, seed: 7 });
      const held = field.repeated ? (field.type === "float" ? Float32Array.of(value as number) : [value]) : value;
      const message = { [field.name]: held } as Message<typeof name>;
      expect(await decode(memorySource(await bytesOfMessage(name, message)), name)).toEqual(message);
    }
  }
});

test("presence is kept: zero, empty text and an empty message are there, and nothing else is", async () => {
  const message: Message<"ModelProto"> = { ir_version: 0, producer_name: "", graph: { node: [{}] } };
  const read = await decode(memorySource(await bytesOfMessage("ModelProto", message)), "ModelProto");
  expect(read).toEqual(message);
  expect(Object.keys(read)).toEqual(["ir_version", "producer_name", "graph"]);
});

test("a NaN keeps its payload", async () => {
  const raw = Uint8Array.of(0x15, 0x01, 0x00, 0xa0, 0x7f); // field 2 of AttributeProto: a signalling NaN
  const read = await decode(memorySource(raw), "AttributeProto");
  expect(await bytesOfMessage("AttributeProto", read)).toEqual(raw);
});

test("text that is not UTF-8 comes back byte for byte", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 40 }), async (raw) => {
      const text = textOf(raw);
      expect(bytesOfText(text)).toEqual(raw);
      const written = await bytesOfMessage("StringStringEntryProto", { key: text });
      expect(await decode(memorySource(written), "StringStringEntryProto")).toEqual({ key: text });
    }),
    { numRuns: 300, seed: 3 },
  );
});

test("a megabyte of it is no matter of seconds", () => {
  const raw = Uint8Array.from({ length: 1 << 20 }, (_, i) => (i % 3 === 0 ? 0xc3 : i % 3 === 1 ? 0xa9 : 0xff));
  const text = textOf(raw);
  expect(text.slice(0, 4)).toBe("é\udcffé\udcff");
  expect(sameBytes(bytesOfText(text), raw)).toBe(true);
});

test("the same document gives the same bytes, from memory or a file, whatever was loaded at once", async () => {
  const written = await bytesOfMessage("ModelProto", richDocument());
  const a = await decode(memorySource(written), "ModelProto");
  const b = await decode(fileLike(written), "ModelProto");
  expect(a).toEqual(b);
  expect(await bytesOfMessage("ModelProto", a)).toEqual(written);
  expect(encode("ModelProto", b).byteLength).toBe(written.length);
});
