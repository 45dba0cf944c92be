import { dataOf, type ResidentTensor, tensor, viewOf } from "@pare/core";
import { parse } from "@pare/core/parse";
import { evaluate } from "@pare/ops/evaluate";
import { expect, test } from "vitest";
import { neededRange } from "./needed-range.ts";

const of = (body: string) =>
  parse(`main (x: float32[1,2]) => (y: float32[1,2]) {
    three: float32[] = {3}  six: float32[1,1] = {6}  zero: float32[] = {0}
    v = Identity(x)
    ${body}
  }`);
const whole = { min: -20, max: 12 };
const rangeOf = (body: string, range = whole) => neededRange(viewOf(of(body)).main, "v", range, 256);

test.each([
  ["HardSwish", "y = HardSwish(v)", -3, 12],
  ["the same spelled out", "a = Add(v, three)  c = Clip(a, zero, six)  m = Mul(v, c)  y = Div(m, six)", -3, 12],
  ["a gate", "y = HardSigmoid<alpha=0.16666667, beta=0.5>(v)", -3, 3],
  ["a function of a function", "r = Mul(six, v)  y = Clip(r, zero, six)", 0, 1],
])("%s: what lies where it is flat needs no codes", (_, body, min, max) => {
  const found = rangeOf(body);
  expect(found.min).toBeCloseTo(min, 1);
  expect(found.max).toBeCloseTo(max, 1);
});

test.each(["y = Sigmoid(v)", "y = Tanh(v)", "s = Sigmoid(v)  y = Mul(v, s)", "y = Gelu(v)", "y = Softplus(v)"])(
  "%s: what is cut changes the result by a sixteenth of a code of it at most",
  async (body) => {
    const found = rangeOf(body);
    expect(found.max - found.min).toBeLessThan(26);
    const at = async (x: number) => {
      const { y } = await evaluate(of(body), { x: tensor("float32", [1, 2], [x, x]) });
      return dataOf(y as ResidentTensor<"float32">)[0]!;
    };
    const results = await Promise.all(Array.from({ length: 321 }, (_, i) => at(whole.min + i / 10)));
    const flat = (Math.max(...results) - Math.min(...results)) / 255 / 16;
    for (let i = 0; i <= 320; i++) {
      const x = whole.min + i / 10;
      const cut = await at(Math.max(found.min, Math.min(found.max, x)));
      expect(Math.abs(cut - results[i]!)).toBeLessThan(1.05 * flat);
    }
  },
);

test.each([
  ["is not flat", "y = LeakyRelu<alpha=0.1>(v)"],
  ["is read by something else", "h = HardSwish(v)  y = Softmax(v)"],
  ["goes on where it is flat", "h = HardSwish(v)  y = Add(h, v)"],
  ["is an operator of several numbers", "y = Softmax(v)"],
  ["is a divisor", "y = Div(six, v)"],
])("a range stays that %s", (_, body) => {
  expect(rangeOf(body)).toEqual(whole);
});

test("zero stays within", () => {
  expect(rangeOf("y = HardSigmoid<alpha=1.0, beta=-5.0>(v)").min).toBe(0);
});
