import { attribute, type Dim } from "@pare/core";
import { floorDiv } from "./dims.ts";
import { int, type ShapeRule, type ShapeRules, shapeAt } from "./rule.ts";

/** X [T, B, I] (layout 0) or [B, T, I]: all states, then the last ones. */
const recurrent: ShapeRule = (c) => {
  const [x, weight, recurrence] = [shapeAt(c, 0), shapeAt(c, 1), shapeAt(c, 2)];
  const gates = c.node.op === "LSTM" ? 4 : c.node.op === "GRU" ? 3 : 1;
  const given = int(c, "hidden_size", 0);
  const hidden: Dim = given || (recurrence?.[2] ?? (weight ? floorDiv(weight[1] ?? null, gates) : null));
  const both = String(attribute(c.node, "direction", "string") ?? "forward") === "bidirectional";
  const directions = both ? 2 : 1;
  const batchFirst = int(c, "layout", 0) !== 0;
  const [time, batch] = batchFirst ? [x?.[1] ?? null, x?.[0] ?? null] : [x?.[0] ?? null, x?.[1] ?? null];
  const last = batchFirst ? [batch, directions, hidden] : [directions, batch, hidden];
  return [batchFirst ? [batch, time, directions, hidden] : [time, directions, batch, hidden], last, last];
};

/** Recurrent layers. */
export const recurrents: ShapeRules = { LSTM: recurrent, GRU: recurrent, RNN: recurrent };
