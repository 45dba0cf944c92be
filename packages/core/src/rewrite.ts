import { failure } from "./diagnostic.ts";
import { type Edit, edit } from "./edit.ts";
import type { Model, Node } from "./model.ts";
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
  for (const rule of rules) for (const op of rule.ops) byOp.set(op, [...(byOp.get(op) ?? []), rule]);
  let current = model;
  for (let round = 0; round < maxRounds; round++) {
    const made = new Map<Rule, number>();
    let postponed = false;
    const next = edit(current, (e) => {
      const removed = new Set<Node>();
      const kept = new Set<Node>();
      for (const view of e.view.graphs) {
        signal?.throwIfAborted();
        for (const n of view.graph.nodes)
          for (const rule of byOp.get(n.domain === "" ? n.op : `${n.domain}.${n.op}`) ?? []) {
            if (removed.has(n)) break;
            const weights: [string, Tensor][] = [];
            const r = rule.match(n, view, {
              fresh: (base) => e.fresh(base),
              weight(base, tensor) {
                const name = e.fresh(base);
                weights.push([name, tensor]);
                return name;
              },
            });
            if (!r) continue;
            const clash =
              r.remove.some((m) => removed.has(m) || kept.has(m)) || (r.keep?.some((m) => removed.has(m)) ?? false);
            if (clash) postponed = true;
            if (clash || !apply(e, view, r, weights)) continue;
            for (const m of r.remove) removed.add(m);
            for (const m of r.keep ?? []) kept.add(m);
            made.set(rule, (made.get(rule) ?? 0) + 1);
            onRewrite?.(rule, n, view);
          }
      }
    });
    if (next === current && !postponed) return current;
    if (round === maxRounds - 1)
      throw failure("core/rewrite-endless", `rules still match after ${maxRounds} rounds: ${[...made.keys()].map((r) => r.name).join(", ")}`, {
        hint: "Two of them may undo each other.",
      });
    current = next;
  }
  return current;
}

function apply(e: Edit, view: GraphView, r: Replacement, weights: readonly (readonly [string, Tensor])[]): boolean {
  if (r.redirect && !e.replaceValue(view, ...r.redirect)) return false;
  for (const [name, tensor] of weights) e.addWeight(view, name, tensor);
  r.remove.forEach((n, i) => {
    e.replace(n, i === 0 ? (r.add ?? []) : []);
  });
  return true;
}
