import type { GraphView } from "@pare/core";

/** Whether a graph is the body of a function or stands in one: such bodies hold no weights. */
export const inFunction = (view: GraphView): boolean => (view.parent ? inFunction(view.parent) : view.path !== "");
