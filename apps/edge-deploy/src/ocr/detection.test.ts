import { dataOf, tensor } from "@pare/core";
import { expect, test } from "vitest";
import {
  boxesOf,
  crop,
  detectionInput,
  type Image,
  isUpsideDown,
  mapAgreement,
  orientationInput,
  stack,
  textBoxes,
  upsideDown,
} from "./index.ts";

/** A map in which `#` is text. */
const mapOf = (...rows: readonly string[]) =>
  tensor(
    "float32",
    [1, 1, rows.length, rows[0]!.length],
    [...rows.join("")].map((c) => (c === "#" ? 0.9 : 0.1)),
  );

test("regions become boxes from the top; corners connect, specks are left out", () => {
  const map = mapOf(
    "...........#", //
    ".###........",
    ".####...##..",
    ".........##.",
    "..........##",
  );
  expect(boxesOf(map, 0.3, 3)).toEqual([
    { left: 1, top: 1, right: 5, bottom: 3 },
    { left: 8, top: 2, right: 12, bottom: 5 },
  ]);
  expect(boxesOf(map, 0.3, 1)).toHaveLength(3);
  expect(boxesOf(map, 0.95, 1)).toEqual([]);
});

test("a region at the right edge does not run on at the left", () => {
  expect(boxesOf(mapOf("...#", "#..."), 0.3, 1)).toHaveLength(2);
});

test("boxes grow by area * 1.5 / perimeter, on the page's scale", () => {
  const data = new Float32Array(100 * 100);
  for (let y = 40; y < 60; y++) data.fill(1, y * 100 + 20, y * 100 + 80);
  const [box] = textBoxes(tensor("float32", [1, 1, 100, 100], data), plain(200, 100, 0));
  // 60 by 20: grows by 60 * 20 * 1.5 / 160 = 11.25, twice that across.
  expect(box).toEqual({ left: 17.5, top: 28.75, right: 182.5, bottom: 71.25 });
});

test("agreement is intersection over union", () => {
  expect(mapAgreement(mapOf("##.."), mapOf(".##."))).toBeCloseTo(1 / 3, 12);
  expect(mapAgreement(mapOf("...."), mapOf("...."))).toBe(1);
  expect(mapAgreement(mapOf("#..."), mapOf("...."))).toBe(0);
});

const plain = (width: number, height: number, value: number): Image => ({
  width,
  height,
  data: new Uint8Array(width * height * 3).fill(value),
});

test("a page goes in with sides of multiples of 32, ImageNet's values in PaddleOCR's order", () => {
  const input = detectionInput(plain(2000, 500, 255));
  expect(input.shape).toEqual([1, 3, 256, 960]);
  const plane = 256 * 960;
  for (const [c, mean, deviation] of [
    [0, 0.485, 0.229],
    [1, 0.456, 0.224],
    [2, 0.406, 0.225],
  ] as const)
    expect(dataOf(input)[c * plane + 5]).toBeCloseTo((1 - mean) / deviation, 5);
  expect(detectionInput(plain(70, 40, 0)).shape).toEqual([1, 3, 32, 64]);
});

test("stacked lines are found again by cropping", () => {
  const lines = [plain(30, 10, 9), plain(20, 12, 7)];
  const page = stack(lines, 60, 5);
  expect([page.width, page.height]).toEqual([60, 37]);
  expect(crop(page, { left: 5, top: 5, right: 35, bottom: 15 })).toEqual(lines[0]);
  expect(crop(page, { left: 5, top: 20, right: 25, bottom: 32 })).toEqual(lines[1]);
  expect(crop(page, { left: 50, top: 30, right: 99, bottom: 99 })).toMatchObject({ width: 10, height: 7 });
});

test("a line is turned pixel by pixel, and its orientation read from two probabilities", () => {
  const image: Image = { width: 2, height: 1, data: Uint8Array.of(1, 2, 3, 4, 5, 6) };
  expect([...upsideDown(image).data]).toEqual([4, 5, 6, 1, 2, 3]);
  expect(isUpsideDown(tensor("float32", [1, 2], [0.4, 0.6]))).toBe(true);
  expect(isUpsideDown(tensor("float32", [1, 2], [0.6, 0.4]))).toBe(false);
  const input = orientationInput(plain(96, 48, 255));
  expect(input.shape).toEqual([1, 3, 48, 192]);
  expect([...dataOf(input).subarray(94, 98)]).toEqual([1, 1, 0, 0]);
});
