import { type Context, type Lowerings, refuse } from "./context.ts";
import { mul, widened } from "./elementwise.ts";
import type { Val } from "./program.ts";

/** The weighted negative of what each target names of `logs` [N, C, …], reduced as the node says. */
function likelihood(c: Context, logs: Val, target: Val, weights: Val | undefined): Val {
  const [n, classes, ...rest] = logs.shape as [number, number, ...number[]];
  if (logs.shape.length > 6) refuse("it has more than 6 dimensions");
  const places = logs.shape.map((_, i) => (i === 1 ? classes : 1));
  const numbers = c.full(
    "int32",
    places,
    Array.from({ length: classes }, (_, i) => i),
  );
  const named = c.reshape(c.cast(target, "int32"), [n, 1, ...rest]);
  const isNamed = c.binary("EQUAL", named, numbers, "bool");
  const zero = c.scalar(0, "float32");
  const chosen = c.reduce("SUM", c.select(isNamed, logs, zero), [1], false);
  const each = c.unary("NEG", chosen);
  const weightOf = weights
    ? c.reduce("SUM", c.select(isNamed, c.reshape(weights, places), zero), [1], false)
    : c.full("float32", [n, ...rest], 1);
  const ignored = c.node.attributes.has("ignore_index") ? c.int("ignore_index", 0) : undefined;
  const isIgnored =
    ignored === undefined ? undefined : c.binary("EQUAL", c.cast(target, "int32"), c.scalar(ignored, "int32"), "bool");
  const weight = isIgnored ? c.select(isIgnored, zero, weightOf) : weightOf;
  const loss = mul(c, isIgnored ? c.select(isIgnored, zero, each) : each, weight);
  const all = loss.shape.map((_, i) => i);
  switch (c.text("reduction", "mean")) {
    case "none":
      return loss;
    case "sum":
      return c.reduce("SUM", loss, all, false);
    default:
      return c.binary("DIV", c.reduce("SUM", loss, all, false), c.reduce("SUM", weight, all, false));
  }
}

const weightsOf = (c: Context) => c.maybe(2) && widened(c, c.in(2), ["float32"]);

export const losses: Lowerings = {
  NegativeLogLikelihoodLoss: (c) =>
    c.give(0, c.cast(likelihood(c, widened(c, c.in(0), ["float32"]), c.in(1), weightsOf(c)), c.in(0).dtype)),
  SoftmaxCrossEntropyLoss: (c) => {
    const x = widened(c, c.in(0), ["float32"]);
    const top = c.reduce("REDUCE_MAX", x, [1], true);
    const shifted = c.binary("SUB", x, top);
    const sum = c.reduce("SUM", c.unary("EXP", shifted), [1], true);
    const logs = c.binary("SUB", shifted, c.unary("LOG", sum));
    c.give(0, c.cast(likelihood(c, logs, c.in(1), weightsOf(c)), c.in(0).dtype));
    if (c.wants(1)) c.give(1, c.cast(logs, c.in(0).dtype));
  },
};
