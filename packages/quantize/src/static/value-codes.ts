import {
  type CodeFormat,
  dataOf,
  failure,
  type Model,
  type ResidentTensor,
  type Statistics,
  type Tensor,
  tensor,
  viewOf,
} from "@pare/core";
import type { QuantizationOptions } from "./int8-options.ts";
import { neededRange } from "./needed-range.ts";
import type { QuantizationPlan } from "./plan.ts";
import { type Range, rangeOf } from "./ranges.ts";

/** How a value is coded: `value = (code - zeroPoint) * scale`. */
export interface ValueCodes {
  readonly scale: number;
  readonly zeroPoint: number;
}

/** Lowest and highest code of a format. */
function limitsOf({ dtype, bits }: CodeFormat): { lowest: number; highest: number } {
  const width = Number(/\d+$/.exec(dtype)![0]);
  const used = bits ?? width;
  return dtype.startsWith("u")
    ? { lowest: 0, highest: 2 ** used - 1 }
    : { lowest: -(2 ** (used - 1)), highest: 2 ** (used - 1) - 1 };
}

/** Codes for each representative of values: of the union of the ranges of those that share them. */
export function valueCodes(
  model: Model,
  plan: QuantizationPlan,
  format: CodeFormat,
  statistics: Statistics,
  optionsFor: (value: string) => QuantizationOptions,
): ReadonlyMap<string, ValueCodes> {
  const { main } = viewOf(model);
  const { lowest, highest } = limitsOf(format);
  const ranges = new Map<string, Range>();
  /** Those with zero in the middle. */
  const even = new Set<string>();
  for (const [value, root] of plan.values) {
    if (plan.fixed.has(root)) continue;
    const constant = main.constant(value);
    const { calibration, percentile, symmetric } = optionsFor(value);
    const isSymmetric = format.symmetric || symmetric;
    if (isSymmetric) even.add(root);
    const found = constant
      ? rangeOfConstant(constant as ResidentTensor<"float32">)
      : rangeOf(statistics, value, {
          calibration,
          percentile,
          levels: highest - lowest + 1,
          symmetric: isSymmetric,
        });
    if (!found)
      throw failure("quantize/no-statistics", `nothing was measured of ${value}`, {
        location: { value },
        hint: "Run the pass with `run` of the package pare, or give run() { gather } of @pare/ops/observe.",
      });
    const needed = neededRange(main, value, found, highest - lowest + 1);
    const before = ranges.get(root) ?? needed;
    ranges.set(root, { min: Math.min(before.min, needed.min), max: Math.max(before.max, needed.max) });
  }
  const codes = new Map<string, ValueCodes>(plan.fixed);
  for (const [root, { min, max }] of ranges) codes.set(root, affineCodes(min, max, lowest, highest, even.has(root)));
  return codes;
}

function affineCodes(min: number, max: number, lowest: number, highest: number, symmetric: boolean): ValueCodes {
  if (symmetric) {
    // Both ends get a code: -127 to 127, or 1 to 255 around 128.
    const middle = (lowest + highest + 1) / 2;
    return { scale: positive(Math.max(-min, max) / (highest - middle)), zeroPoint: middle };
  }
  const scale = positive((max - min) / (highest - lowest));
  return { scale, zeroPoint: Math.max(lowest, Math.min(highest, Math.round(lowest - min / scale))) };
}

const positive = (scale: number) => (scale >= 1.1754943508222875e-38 ? Math.fround(scale) : 1);

function rangeOfConstant(t: ResidentTensor<"float32">): Range {
  let [min, max] = [0, 0];
  for (const x of dataOf(t)) {
    min = Math.min(min, x);
    max = Math.max(max, x);
  }
  return { min, max };
}

/** The codes of a constant that is read like an activation. */
export function quantizedConstant(
  t: ResidentTensor<"float32">,
  { scale, zeroPoint }: ValueCodes,
  format: CodeFormat,
): Tensor {
  const { lowest, highest } = limitsOf(format);
  const codes = Array.from(dataOf(t), (x) => {
    const code = roundHalfEven(x / scale) + zeroPoint;
    return Math.max(lowest, Math.min(highest, code));
  });
  return tensor(format.dtype, t.shape, codes as never);
}

export function roundHalfEven(x: number): number {
  const low = Math.floor(x);
  const rest = x - low;
  return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1;
}
