import { dtypeOfCode } from "../dtype-codes.ts";
import { integerRange } from "../numeric/convert.ts";
import type { GradientBuilder, GradientRule, GradientRules } from "./builder.ts";

/**
 * The straight-through estimator: rounding counts as if it were not there, and codes stand for the numbers that they mean,
 * so that what changes codes between quantization and dequantization passes gradients as it would those numbers'.
 * Where a value is outside of what codes can say, its gradient is 0. (Bengio et al. 2013, arXiv:1308.3432; Jacob et al.
 * 2018, arXiv:1712.05877.)
 */
const quantize: GradientRule = (b) => [
  () => {
    const [x, scale] = [b.x(0), b.x(1)];
    const zero = b.input(2);
    const code = b.intOf("output_dtype", 0);
    const dtype = zero === undefined ? (code ? dtypeOfCode(code) : "uint8") : b.dtype(zero);
    const range = integerRange(dtype)?.map(Number);
    if (!range || b.intOf("block_size", 0) !== 0) return b.refuse("only integers without blocks pass gradients");
    const codes = b.calc("Div", x, spread(b, scale));
    const shifted = zero === undefined ? codes : b.calc("Add", codes, b.cast(spread(b, zero), b.real));
    const low = b.calc("GreaterOrEqual", shifted, range[0]! - 0.5);
    const high = b.calc("LessOrEqual", shifted, range[1]! + 0.5);
    return b.calc("Mul", b.dy, b.cast(b.add("And", [low, high]), b.real));
  },
];

/** A number for each place along the node's axis in the shape that broadcasts. */
function spread(b: GradientBuilder, v: string): string {
  if (b.rank(v) === 0 || b.shape(v)?.[0] === 1) return v;
  const [rank, axis] = [b.rank(b.x(0)), b.intOf("axis", 1)];
  return b.reshape(v, [-1, ...Array<number>(rank - 1 - (axis < 0 ? axis + rank : axis)).fill(1)]);
}

const straight: GradientRule = (b) => [() => b.dy];

/** Operators that pass codes on as they are: gradients go through them although they are integers. */
export const carriesCodes: ReadonlySet<string> = new Set([
  ...[
    "Identity",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Concat",
    "Split",
    "Slice",
    "Expand",
    "Tile",
  ],
  ...["Gather", "GatherElements", "GatherND", "DepthToSpace", "SpaceToDepth", "MaxPool", "Where"],
]);

export const quantization: GradientRules = {
  QuantizeLinear: quantize,
  DequantizeLinear: straight,
  DynamicQuantizeLinear: straight,
};
