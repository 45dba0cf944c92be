import { type Model, viewOf } from "@pare/core";

/** Nodes of all graphs of a model: those inside branches, loops and functions too, and `Constant` nodes. */
export const nodeCount = (model: Model): number =>
  viewOf(model).graphs.reduce((sum, view) => sum + view.graph.nodes.length, 0);
