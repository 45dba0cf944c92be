import type { GraphView, Model, Node, Rule } from "@pare/core";
import { isClosed, type Match, matchNode, type Pattern } from "./pattern.ts";

/** A rule that puts one node in the place of a pattern, where `build` finds that the match means it. */
export const patternRule = (
  name: string,
  patterns: readonly Pattern[],
  build: (match: Match, root: Node, view: GraphView, model: Model) => Node | undefined,
): Rule => ({
  name,
  ops: [...new Set(patterns.map((p) => (p.kind === "op" ? p.op : "")))],
  match(n, view, { model }) {
    for (const p of patterns) {
      const match = matchNode(n, p, view);
      const made = match && isClosed(match, view) ? build(match, n, view, model) : undefined;
      if (made) return { remove: match!.nodes, add: [made] };
    }
    return undefined;
  },
});
