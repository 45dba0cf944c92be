import { dataOf, tensor } from "@pare/core";
import { expect, test } from "vitest";
import {
  characterErrorRate,
  decode,
  decodeBatch,
  dictionary,
  type Image,
  recognitionBatch,
  recognitionInput,
} from "./index.ts";

const characters = ["", "a", "b", " "];
/** Probabilities in which the given classes win, step by step. */
const winners = (...rows: readonly (readonly number[])[]) =>
  tensor(
    "float32",
    [rows.length, rows[0]!.length, characters.length],
    rows.flatMap((row) => row.flatMap((best) => characters.map((_, c) => (c === best ? 0.7 : 0.1)))),
  );

test("repetitions join, blanks part and vanish", () => {
  expect(decode(winners([0, 1, 1, 0, 1, 2, 2, 3, 2, 0]), characters)).toBe("aab b");
  expect(decode(winners([0, 0, 0]), characters)).toBe("");
  expect(decodeBatch(winners([1, 1, 1], [1, 0, 1], [2, 3, 1]), characters)).toEqual(["a", "aa", "b a"]);
});

test("a dictionary of another size is refused", () => {
  expect(() => decode(winners([1]), ["", "a"])).toThrow(/edge-deploy\/dictionary/);
});

test("the dictionary has blank, 6,623 characters and space", () => {
  const list = dictionary();
  expect(list.length).toBe(6625);
  expect([list[0], list.at(-1)]).toEqual(["", " "]);
  expect(list.slice(1, -1).every((c) => [...c].length === 1)).toBe(true);
});

const plain = (width: number, height: number, [r, g, b]: readonly [number, number, number]): Image => ({
  width,
  height,
  data: Uint8Array.from({ length: width * height * 3 }, (_, i) => [r, g, b][i % 3]!),
});

test("a line keeps its proportion and goes in as blue, green, red between -1 and 1", () => {
  const input = recognitionInput(plain(100, 24, [255, 0, 51]));
  expect(input.shape).toEqual([1, 3, 48, 200]);
  const data = dataOf(input);
  expect([data[0], data[48 * 200], data[2 * 48 * 200]].map((v) => Math.round(v! * 1e6) / 1e6)).toEqual([-0.6, -1, 1]);
});

test("a batch is as wide as its widest line, the others filled with zeros", () => {
  const batch = recognitionBatch([plain(50, 48, [255, 255, 255]), plain(80, 48, [0, 0, 0])]);
  expect(batch.shape).toEqual([2, 3, 48, 80]);
  const row = dataOf(batch).subarray(0, 80);
  expect(row.subarray(0, 50).every((v) => v === 1)).toBe(true);
  expect(row.subarray(50).every((v) => v === 0)).toBe(true);
  expect(
    dataOf(batch)
      .subarray(3 * 48 * 80)
      .every((v) => v === -1),
  ).toBe(true);
});

test("character errors are edits over the length of the truth", () => {
  expect(characterErrorRate("kitten", "sitting")).toBeCloseTo(3 / 6, 12);
  expect(characterErrorRate("abc", "abc")).toBe(0);
  expect(characterErrorRate("abcd", "")).toBe(1);
});
