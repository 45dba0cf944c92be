import { failure } from "./diagnostic.ts";
import { edit } from "./edit.ts";
import { type Model, type Node, operatorOf } from "./model.ts";
import { push } from "./recall.ts";
import type { Tensor } from "./tensor.ts";
import type { GraphView } from "./view.ts";

/** What a rule wants changed around the node that it matched. All of it is applied, or nothing. */
export interface Replacement {
  /** Nodes that go. */
  readonly remove: readonly Node[];
  /** Nodes that the match relied on and that stay: no other match of the batch may remove them. */
  readonly keep?: readonly Node[];
  /** Nodes that come, at the place of the first of `remove`. They may write what removed nodes wrote. */
  readonly add?: readonly Node[];
  /** A value whose readers read another value from now on: [from, to]. */
  readonly redirect?: readonly [string, string];
}

export interface RuleContext {
  /** The model that this round looks at. */
  readonly model: Model;
  /** A value name that is new in the model. */
  fresh(base: string): string;
  /** Adds a constant and returns its name. Ask only when the match is certain. */
  weight(base: string, tensor: Tensor): string;
}

/** One rewrite: where a node of these operators matches, what to change. Pure but for its context. */
export interface Rule {
  readonly name: string;
  /** Operators of the standard domain that `match` is asked about; `domain.op` for others. */
  readonly ops: readonly string[];
  match(node: Node, view: GraphView, ctx: RuleContext): Replacement | undefined;
}

export interface RewriteOptions {
  readonly signal?: AbortSignal;
  /** Called for each rewrite that was made. */
  readonly onRewrite?: (rule: Rule, node: Node, view: GraphView) => void;
  /** Rounds after which rules that undo each other are reported. Default 100. */
  readonly maxRounds?: number;
}

/**
 * Applies rules until none matches. All matches of a round that do not touch each other are committed together, so the
 * time is rounds times nodes.
 * @throws PareError `core/rewrite-endless` naming the rules that still matched after `maxRounds`
 */
export function rewrite(model: Model, rules: readonly Rule[], options: RewriteOptions = {}): Model {
  const { signal, onRewrite, maxRounds = 100 } = options;
  const byOp = new Map<string, Rule[]>();
  for (const rule of rules) for (const op of rule.ops) push(byOp, op, rule);
  const matched = new Set<string>();
  let current = model;
  for (let round = 0; round < maxRounds; round++) {
    matched.clear();
    const next = edit(current, (e) => {
      const removed = new Set<Node>();
      const kept = new Set<Node>();
      const isGone = (v: GraphView | undefined): boolean =>
        v?.holder !== undefined && (removed.has(v.holder) || isGone(v.parent));
      const attempt = (rule: Rule, n: Node, view: GraphView) => {
        const weights = new Map<string, Tensor>();
        const weight = (base: string, tensor: Tensor) => {
          const name = e.fresh(base);
          weights.set(name, tensor);
          return name;
        };
        const found = rule.match(n, view, { model: current, fresh: e.fresh, weight });
        if (!found) return;
        const { remove, keep = [], add = [], redirect } = found;
        if (remove.some((m) => removed.has(m) || kept.has(m)) || keep.some((m) => removed.has(m))) return;
        if (redirect && !e.replaceValue(view, ...redirect)) return;
        for (const [name, tensor] of weights) e.addWeight(view, name, tensor);
        e.insert(view, add, remove[0] ?? n);
        for (const m of remove) {
          e.replace(m, []);
          removed.add(m);
        }
        for (const m of keep) kept.add(m);
        matched.add(rule.name);
        onRewrite?.(rule, n, view);
      };
      for (const view of e.view.graphs) {
        // The graphs inside a node that goes are looked at in the next round, where they may have gone too.
        if (isGone(view)) continue;
        for (const n of view.graph.nodes) {
          signal?.throwIfAborted();
          for (const rule of byOp.get(operatorOf(n)) ?? []) if (!removed.has(n)) attempt(rule, n, view);
        }
      }
    });
    if (next === current) return current;
    current = next;
  }
  throw failure("core/rewrite-endless", `${[...matched].join(", ")} still match after ${maxRounds} rounds`, {
    hint: "Two may undo each other.",
  });
}
