import { expect, test } from "vitest";
import { add, ceilDiv, floorDiv, max, min, mul, normal, sub, substitute } from "./dims.ts";

test("equal expressions are equal strings", () => {
  expect(add("N", 1)).toBe("N+1");
  expect(add(mul(2, "N"), 1)).toBe("2*N+1");
  expect(add(1, mul("N", 2))).toBe("2*N+1");
  expect(sub(add("N", "M"), "N")).toBe("M");
  expect(sub("N", "N")).toBe(0);
  expect(mul(add("N", 1), sub("N", 1))).toBe("N*N-1");
  expect(normal(" 1 + N *2")).toBe("2*N+1");
  expect(sub("A", "Z")).toBe("A-Z");
  expect(sub("Z", "A")).toBe("Z-A");
});

test("division rounds down and is exact where it can be", () => {
  expect(floorDiv(mul("N", 6), 3)).toBe("2*N");
  expect(floorDiv(mul(mul("N", 64), "H"), mul("N", 16))).toBe("4*H");
  expect(add(floorDiv(sub("N", 1), 2), 1)).toBe("floor((N+1)/2)");
  expect(ceilDiv("N", 2)).toBe("floor((N+1)/2)");
  expect(floorDiv(floorDiv("N", 2), 3)).toBe("floor(N/6)");
  expect(floorDiv(mul(2, "N"), 4)).toBe("floor(N/2)");
  expect(normal("floor(height/2 - 1/2) + 1")).toBe("floor((height+1)/2)");
  expect(normal("ceil(N/4)")).toBe("floor((N+3)/4)");
  expect(floorDiv("N", 0)).toBe(null);
  expect(floorDiv(7, 0)).toBe(null);
});

test("every normal form is its own, and keeps its value", () => {
  const values = new Map([
    ["N", 13],
    ["M", 5],
    ["batch size", 3],
  ]);
  const cases: [string, number][] = [
    ["floor((3*N+1)/4)-M", Math.floor(40 / 4) - 5],
    ["max(N-2*M,0)", 3],
    ["min(10,N)", 10],
    ["N*M-floor(N/M)", 63],
    ["N % M", 3],
    ["N // 2 * 2", 12],
    ["-(N-20)", 7],
    ["floor((floor((N+1)/2)+1)/2)", 4],
  ];
  for (const [text, value] of cases) {
    const form = normal(text);
    expect(normal(form)).toBe(form);
    expect(substitute(form, values)).toBe(value);
  }
  expect(substitute(mul(2, normal("batch size")), values)).toBe(6);
});

test("names that are no expressions are symbols", () => {
  expect(normal("batch size")).toBe("batch size");
  expect(add("batch size", 1)).toBe("{batch size}+1");
  expect(sub(add("batch size", 1), 1)).toBe("batch size");
  expect(normal("a/b")).toBe("a/b");
  expect(normal("p2o.DynamicDimension.0")).toBe("p2o.DynamicDimension.0");
  expect(normal("")).toBe(null);
  expect(normal(-1)).toBe(null);
  expect(normal(`${"(".repeat(300)}N${")".repeat(300)}`)).toBe(null);
});

test("bounds decide maxima and minima", () => {
  expect(max(sub("N", 1), 0)).toBe("N-1");
  expect(max(sub("N", 2), 0)).toBe("max(0,N-2)");
  expect(min(add("N", 3), "N")).toBe("N");
  expect(min("N", 1)).toBe(1);
  expect(mul("N", 2 ** 60)).toBe(null);
  expect(mul(2 ** 30, 2 ** 30)).toBe(null);
});
