import { definePass, edit, operatorOf, PASS_API_VERSION, type Rule, rewrite } from "@pare/core";
import { inlined } from "./inline.ts";

/**
 * Puts the bodies of the model's functions where they are called, and drops the functions. A function that is called
 * often makes the file grow by this, so it is no part of `optimize`: it is for formats that have no functions.
 * @throws PareError `core/rewrite-endless` when functions call each other in a circle
 */
export const inlineFunctions = definePass({
  name: "inline-functions",
  apiVersion: PASS_API_VERSION,
  run(model, _, ctx) {
    const functions = new Map(model.functions.map((f) => [operatorOf({ domain: f.domain, op: f.name }), f]));
    const call: Rule = {
      name: "function-call",
      ops: [...functions.keys()],
      match(n, _view, rule) {
        const f = functions.get(operatorOf(n))!;
        return {
          remove: [n],
          add: inlined(f.body, n.inputs, n.outputs, rule, new Map([...f.defaults, ...n.attributes])),
        };
      },
    };
    const flat = rewrite(model, [call], {
      signal: ctx.signal,
      onRewrite: (_rule, node, view) => ctx.done({ view, node }),
    });
    if (functions.size === 0) return flat;
    const opsets = new Map([...model.functions.flatMap((f) => [...f.opsets]), ...flat.opsets]);
    return edit(flat, (e) => e.setModel({ functions: [], opsets }));
  },
});
