import { attr } from "@pare/core";
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
    if (!range) return b.refuse("only integers pass gradients");
    const codes = b.calc("Div", x, spread(b, scale));
    const shifted = zero === undefined ? codes : b.calc("Add", codes, spread(b, b.cast(zero, b.real), zero));
    const low = b.calc("GreaterOrEqual", shifted, range[0]! - 0.5);
    const high = b.calc("LessOrEqual", shifted, range[1]! + 0.5);
    return b.calc("Mul", b.dy, b.cast(b.add("And", [low, high]), b.real));
  },
];

/** Numbers for blocks or places along the node's axis, as many as `like` has, in a shape that broadcasts. */
function spread(b: GradientBuilder, v: string, like = v): string {
  const rank = b.rank(b.x(0));
  const given = b.intOf("axis", 1);
  const axis = given < 0 ? given + rank : given;
  const block = b.intOf("block_size", 0);
  if (block === 0 && (b.rank(like) === 0 || b.shape(like)?.[0] === 1)) return v;
  if (block === 0) return b.reshape(v, [-1, ...Array<number>(rank - 1 - axis).fill(1)]);
  const blocks = Array.from({ length: b.sizes(b.x(0))[axis]! }, (_, i) => Math.floor(i / block));
  return b.add("Gather", [v, b.ints(blocks)], { axis: attr.int(axis) });
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
