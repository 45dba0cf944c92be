import { arrangements } from "./arrange.ts";
import { attentions } from "./attention.ts";
import { bits } from "./bits.ts";
import { casts } from "./cast.ts";
import { elementwise } from "./elementwise.ts";
import { linear } from "./linear.ts";
import { losses } from "./loss.ts";
import { ngrams } from "./ngrams.ts";
import { normalizations } from "./normalize.ts";
import { pools } from "./pool.ts";
import { quantization } from "./quantization.ts";
import { recurrent } from "./recurrent.ts";
import { reductions } from "./reduce.ts";
import { resizing } from "./resize.ts";
import type { EvaluateRule } from "./rule.ts";
import { scatters } from "./scatter.ts";
import { shapes } from "./shape.ts";
import { signals } from "./signal.ts";
import { visions } from "./vision.ts";

/** All rules, by operator. */
export const rules: ReadonlyMap<string, EvaluateRule> = new Map(
  Object.entries({
    ...elementwise,
    ...casts,
    ...bits,
    ...attentions,
    ...scatters,
    ...arrangements,
    ...signals,
    ...pools,
    ...visions,
    ...losses,
    ...ngrams,
    ...reductions,
    ...shapes,
    ...linear,
    ...normalizations,
    ...quantization,
    ...resizing,
    ...recurrent,
  }),
);
