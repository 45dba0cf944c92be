import { failure } from "@pare/core";

/** The learning rate of a step, of which 0 is the first. */
export type Schedule = (step: number) => number;

export const constantRate =
  (rate: number): Schedule =>
  () =>
    rate;

/** From `rate` to `end` (default 0) along half a cosine over `steps`, then `end`. (Loshchilov & Hutter 2017, arXiv:1608.03983.) */
export function cosineRate({ rate, steps, end = 0 }: { rate: number; steps: number; end?: number }): Schedule {
  positive(steps);
  return (step) => end + ((rate - end) * (1 + Math.cos((Math.PI * Math.min(step, steps)) / steps))) / 2;
}

/** `rate` times `factor` after each of the steps `at`. */
export const stepRate = ({
  rate,
  at,
  factor = 0.1,
}: {
  rate: number;
  at: readonly number[];
  factor?: number;
}): Schedule => {
  return (step) => rate * factor ** at.filter((s) => step >= s).length;
};

/** Grows in a straight line over the first `steps`, then follows `after` from its start. (Goyal et al. 2017, arXiv:1706.02677.) */
export function warmUp({ steps, after }: { steps: number; after: Schedule }): Schedule {
  positive(steps);
  return (step) => (step < steps ? (after(0) * (step + 1)) / steps : after(step - steps));
}

function positive(steps: number): void {
  if (!(steps >= 1)) throw failure("train/options", `a schedule takes at least one step, not ${steps}`);
}
