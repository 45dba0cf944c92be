import type { Rule } from "./call.ts";
import { convolutions } from "./convolution.ts";
import { elementwise } from "./elementwise.ts";
import { gathers } from "./gather.ts";
import { linear } from "./linear.ts";
import { normalizations } from "./normalize.ts";
import { pools } from "./pool.ts";
import { quantization } from "./quantize.ts";
import { reductions } from "./reduce.ts";
import { resizing } from "./resize.ts";
import { shapeRules } from "./shape.ts";

/** How each operator of the standard domain is said in operations of TensorFlow.js. */
export const rules: ReadonlyMap<string, Rule> = new Map(
  [
    convolutions,
    elementwise,
    gathers,
    linear,
    normalizations,
    pools,
    quantization,
    reductions,
    resizing,
    shapeRules,
  ].flatMap((family) => Object.entries(family)),
);
