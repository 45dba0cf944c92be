import {
  type DType,
  type Edit,
  IR_OPSET,
  labelOf,
  type Model,
  type Node,
  PareError,
  problem,
  viewOf,
} from "@pare/core";
import { gradients, unfoldings } from "@pare/ops/gradient";
import { inferTypes } from "@pare/ops/infer";
import { decompose, nodeContext, type Scope } from "@pare/ops/lower";
import { typesIn, withConstants } from "@pare/ops/schema";
import { pathOf } from "./path.ts";

/** Says operators on the way to the loss that have no gradient of their own in those that they are made of. */
export function unfold(model: Model, loss: string, by: readonly string[]): Model {
  let current = model;
  for (;;) {
    const before = current;
    const scope = scopeIn(current);
    const { main } = viewOf(current);
    const without = new Set(
      pathOf(current, loss, by, scope.dtypeOf).nodes.filter((n) => n.domain === "" && !gradients.has(n.op)),
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

/** What is known of the values of the main graph, and where its nodes are said in others. */
function scopeIn(model: Model) {
  const types = inferTypes(model);
  const { main } = viewOf(model);
  const typeOf = withConstants(main, types.of);
  const possible = typesIn(model, types.of);
  return {
    dtypeOf(v: string): DType | undefined {
      const type = typeOf(v);
      return type?.kind === "tensor" ? type.dtype : undefined;
    },
    of: (e: Edit, n: Node, shared: Map<string, string>): Scope => ({
      ...nodeContext(e, main, n, [], { shared }),
      typeOf,
      possible,
      intsOf: (v) => types.constantInts(main, v),
      target: IR_OPSET,
      made: new Map(),
      refuse: (why) => {
        throw new PareError([problem("train/gradient", why, { location: { node: labelOf(n), op: n.op } })]);
      },
    }),
  };
}
