import { type Model, type Observation, type Statistics, tensor, viewOf } from "@pare/core";
import { inferTypes } from "@pare/ops/infer";
import { statisticKey } from "@pare/ops/observe";
import { evaluatorRuntime } from "@pare/testing";
import { target } from "./acme.ts";

/** Statistics as plausible numbers, without running the model, so that passes can be tried on any. */
export async function madeUp(model: Model, wishes: readonly Observation[]): Promise<Statistics> {
  const types = inferTypes(model);
  const { main } = viewOf(model);
  const found = new Map<string, ReturnType<typeof tensor>>();
  const put = (key: string, shape: readonly number[], at: (i: number) => number) =>
    found.set(
      key,
      tensor(
        "float32",
        shape,
        Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => at(i)),
      ),
    );
  for (const { values, statistic } of wishes)
    for (const value of values) {
      const key = statisticKey(statistic, value);
      const [name, axis] = statistic.split("@");
      if (axis === undefined) {
        put(key, [2], (i) => [-1, 2][i]!);
        continue;
      }
      const type = types.of(main, value);
      const length = type?.kind === "tensor" ? type.shape?.at(Number(axis)) : undefined;
      if (typeof length !== "number") continue;
      if (name === "gram") put(key, [length, length], (i) => (i % (length + 1) === 0 ? 2 : 1));
      else put(key, [length], (i) => 1 + (i % 5) ** 3);
    }
  return found;
}

/** A host with everything that a pass may need, whatever the model. */
export const anyHost = { runtime: evaluatorRuntime, samples: { open: () => [] }, target: target(), gather: madeUp };
