import { type Model, type Pass, type Report, type RunOptions, run as runPasses } from "@pare/core";
import { gather } from "@pare/ops/observe";

/**
 * Runs passes one after the other: `run` of `@pare/core`, gathering the statistics that passes ask for over the samples.
 * @throws PareError see `@pare/core`
 */
export const run = (
  passes: Pass | readonly Pass[],
  model: Model,
  options: RunOptions = {},
): Promise<{ model: Model; report: Report }> => runPasses(passes, model, { gather, ...options });
