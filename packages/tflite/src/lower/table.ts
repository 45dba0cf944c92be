import { arrange } from "./arrange.ts";
import type { Lowering } from "./context.ts";
import { convolutions } from "./convolution.ts";
import { elementwise } from "./elementwise.ts";
import { gathers } from "./gather.ts";
import { linear } from "./linear.ts";
import { losses } from "./loss.ts";
import { normalizations } from "./normalize.ts";
import { pools } from "./pool.ts";
import { recurrents } from "./recurrent.ts";
import { reductions } from "./reduce.ts";
import { resizes } from "./resize.ts";
import { samples } from "./sample.ts";
import { signals } from "./signal.ts";

/** How each operator of the standard domain is said in TFLite's builtin ones. */
export const lowerings: ReadonlyMap<string, Lowering> = new Map(
  [
    arrange,
    convolutions,
    elementwise,
    gathers,
    linear,
    normalizations,
    pools,
    recurrents,
    reductions,
    resizes,
    losses,
    samples,
    signals,
  ].flatMap((family) => Object.entries(family)),
);
