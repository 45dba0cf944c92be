import { edit, type GraphView, IR_OPSET, isPareError, type Model, type Node, PareError, problem } from "@pare/core";
import { inferTypes } from "../infer.ts";
import { schemaOf, typesIn, withConstants } from "../schema.ts";
import { builderOf, type Lower, type Scope } from "./builder.ts";
import { nodeContext } from "./context.ts";
import { lowerings } from "./table.ts";

export interface DecomposeOptions {
  /** Which nodes are meant, of those whose operator is {@link decomposable} or has an unfolding. */
  readonly wanted: (node: Node, view: GraphView) => boolean;
  /** More ways to say operators, which come first: `unfoldings` of `@pare/ops/gradient`, where all sizes are known. */
  readonly unfoldings?: ReadonlyMap<string, Lower>;
  readonly onDone?: (node: Node, view: GraphView) => void;
  /** Called for a node that stays, with the reason. */
  readonly onSkip?: (node: Node, view: GraphView, reason: string) => void;
}

/** Operators of the standard domain that can be said in others, given types that are known. */
export const decomposable: ReadonlySet<string> = new Set(
  [...lowerings].filter(([op, versions]) => [...versions.keys()].some((v) => !schemaOf(op, v - 1))).map(([op]) => op),
).add("GroupNormalization");

/**
 * Says operators of a model in simpler ones, as ONNX defines them: `LayerNormalization` as means and arithmetic, `Gelu` with
 * `Erf`, `Attention` with products of matrices. The model stays at the IR's opset.
 */
export function decompose(model: Model, { wanted, unfoldings, onDone, onSkip }: DecomposeOptions): Model {
  const types = inferTypes(model);
  const possible = typesIn(model, types.of);
  return edit(model, (e) => {
    for (const view of e.view.graphs) {
      const typeOf = withConstants(view, types.of);
      const shared = new Map<string, string>();
      for (const n of view.graph.nodes) {
        const unfolding = unfoldings?.get(n.op);
        if (n.domain !== "" || !(unfolding || decomposable.has(n.op)) || !wanted(n, view)) continue;
        const before: Node[] = [];
        const scope: Scope = {
          ...nodeContext(e, view, n, before, { shared }),
          typeOf,
          possible,
          intsOf: (v) => types.constantInts(view, v),
          target: IR_OPSET,
          made: new Map(),
          refuse: (why) => {
            throw new PareError([problem("ops/decompose", why)]);
          },
        };
        try {
          e.replace(n, [...before, ...(unfolding ? said(unfolding, n, scope) : inOthers(n, IR_OPSET, scope))]);
          onDone?.(n, view);
        } catch (error) {
          if (!isPareError(error)) throw error;
          onSkip?.(n, view, error.diagnostics[0]!.message);
        }
      }
    }
  });
}

function said(lower: Lower, n: Node, scope: Scope): readonly Node[] {
  const b = builderOf(n, scope);
  lower(b);
  return b.nodes;
}

/** The nodes that say `n`, as it is at `version`, without its operator. */
function inOthers(n: Node, version: number, scope: Scope): readonly Node[] {
  const [at, lowering] =
    [...(lowerings.get(n.op) ?? [])].filter(([v]) => v <= version).sort(([a], [b]) => b - a)[0] ?? [];
  if (!at || !lowering) return scope.refuse(`${n.op} has no body that says the same`);
  return said(lowering, n, scope).flatMap((m) => (m.op === n.op ? inOthers(m, at - 1, scope) : [m]));
}
