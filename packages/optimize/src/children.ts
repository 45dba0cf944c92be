import type { GraphView, Node } from "@pare/core";
import { groupBy } from "@pare/ops/weights";

/** The graphs inside each node of a graph. */
export const childrenByNode = ({ children }: GraphView): ReadonlyMap<Node, readonly GraphView[]> =>
  new Map(groupBy(children, (child) => child.holder).map((inside) => [inside[0]!.holder!, inside]));
