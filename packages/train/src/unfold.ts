import { type DType, labelOf, type Model, PareError, problem, viewOf } from "@pare/core";
import { gradients, unfoldings } from "@pare/ops/gradient";
import { inferTypes } from "@pare/ops/infer";
import { decompose } from "@pare/ops/lower";
import { withConstants } from "@pare/ops/schema";
import { pathOf } from "./path.ts";

/** Says operators on the way to the loss that have no gradient of their own in those that they are made of. */
export function unfold(model: Model, loss: string, by: readonly string[]): Model {
  let current = model;
  for (;;) {
    const before = current;
    const { main } = viewOf(current);
    const without = new Set(
      pathOf(current, loss, by, dtypesOf(current)).nodes.filter((n) => n.domain === "" && !gradients.has(n.op)),
    );
    if (without.size === 0) return current;
    current = decompose(current, {
      wanted: (n, view) => view === main && without.has(n),
      unfoldings,
      onSkip: (n, _, reason) => {
        throw new PareError([problem("train/gradient", reason, { location: { node: labelOf(n), op: n.op } })]);
      },
    });
    if (current === before) return current;
  }
}

/** The element types of the values of the main graph, as far as they are known. */
function dtypesOf(model: Model): (value: string) => DType | undefined {
  const { main } = viewOf(model);
  const typeOf = withConstants(main, inferTypes(model).of);
  return (value) => {
    const type = typeOf(value);
    return type?.kind === "tensor" ? type.dtype : undefined;
  };
}
