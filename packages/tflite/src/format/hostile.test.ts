import { memorySource } from "@pare/core";
import { expect, test } from "vitest";
import { decode } from "./decode.ts";
import { readDocument } from "./document.ts";
import { encode } from "./encode.ts";

/** A file of the words given, after the header; `at` is where the root table stands. */
function file(at: number, ...parts: readonly (number | readonly number[])[]): Uint8Array {
  const bytes: number[] = [];
  const word = (n: number) => bytes.push(n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24);
  word(at);
  bytes.push(...new TextEncoder().encode("TFL3"));
  for (const part of parts)
    if (typeof part === "number") word(part);
    else for (const half of part) bytes.push(half & 255, half >> 8);
  return Uint8Array.from(bytes);
}
const read = (bytes: Uint8Array) => decode(memorySource(bytes, "bad.tflite"), "Model");
const refuses = async (bytes: Uint8Array, code: string, where: RegExp) => {
  const error = await read(bytes).then(
    () => undefined,
    (e) => e,
  );
  expect(error).toMatchObject({ code });
  expect(error.message).toMatch(where);
  expect(error.diagnostics[0].location).toMatchObject({ file: "bad.tflite" });
};

test("a root, a layout or a vector beyond the end", async () => {
  await refuses(file(4000), "tflite/truncated", /Model/);
  await refuses(file(8, -4000), "tflite/truncated", /Model's layout/);
  // A vtable of 8 bytes, a table of 8, and the version and operator codes, whose vector says more than there is.
  const table = (codes: number) => file(16, [8, 12, 4, 8], 8, 3, 4, codes, 0);
  await refuses(table(0x40000000), "tflite/truncated", /Model\.operator_codes/);
  await refuses(table(0xffffffff), "tflite/truncated", /Model\.operator_codes/);
});

test("layouts that are none", async () => {
  await refuses(file(16, [3, 8, 4, 0], 8, 3), "tflite/table", /layout cannot take 3 bytes/);
  await refuses(file(16, [8, 2, 4, 0], 8, 3), "tflite/table", /a table cannot take 2 bytes/);
  await refuses(file(16, [8, 8, 6, 0], 8, 3), "tflite/table", /Model\.version: the field lies outside/);
  await refuses(file(16, [8, 12, 5, 0], 8, 3, 3), "tflite/alignment", /Model\.version/);
  await refuses(file(18, [8, 12, 4, 0], 8, 3, 3), "tflite/alignment", /Model/);
});

test("a field that the schema does not know is refused, not lost", async () => {
  const known = [4 + 2 * 11, 8, ...new Array<number>(10).fill(0)];
  await refuses(file(36, [...known, 4, 0], 28, 3), "tflite/unknown-field", /Model has a field 10/);
});

test("a table that a union does not know is refused; an unknown value of an enumeration is kept", async () => {
  const bytes = encode("Operator", { builtin_options: { type: "GeluOptions", value: { approximate: true } } });
  const whole = new Uint8Array(bytes.byteLength);
  whole.set(bytes.pieces[0] as Uint8Array);
  const at = whole.lastIndexOf(115);
  const wrong = whole.slice();
  for (let i = 8; i < wrong.length; i++) if (wrong[i] === 116 || (i === at && wrong[i] === 115)) wrong[i] = 250;
  await expect(decode(memorySource(wrong), "Operator")).rejects.toMatchObject({ code: "tflite/union" });
  const future = encode("Tensor", { type: 77 });
  expect((await decode(memorySource(future.pieces[0] as Uint8Array), "Tensor")).root).toEqual({ type: 77 });
});

test("files that share one table many times do not take more memory than allowed", async () => {
  const many = 50_000;
  // A vector of tables that are all the same one, which holds a long list.
  const inner = new Array<number>(many).fill(0);
  const bytes = encode("SubGraph", { operators: [{ inputs: inner }] });
  const small = new Uint8Array(bytes.pieces[0] as Uint8Array);
  await expect(decode(memorySource(small), "SubGraph", { memoryLimit: 1000 })).rejects.toMatchObject({
    code: "tflite/too-large",
  });
});

test("what is no TFLite file says what it is", async () => {
  const not = (text: string) => readDocument(memorySource(new TextEncoder().encode(text), "x"));
  await expect(not("version https://git-lfs.github.com/spec/v1")).rejects.toThrow(/Git LFS/);
  await expect(not("PK\x03\x04aaaa")).rejects.toThrow(/zip/);
  await expect(not("<!doctype html><html>")).rejects.toThrow(/web page/);
  await expect(not("\x10\x00\x00\x00\x1c\x00\x00\x00TFL3")).rejects.toThrow(/size in front/);
  await expect(not("")).rejects.toMatchObject({ code: "tflite/not-tflite" });
});
