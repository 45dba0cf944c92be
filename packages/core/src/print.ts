import type { Model } from "./model.ts";
/** placeholder until the printer is written */
export const print = (m: Model): string => m.graph.name;
