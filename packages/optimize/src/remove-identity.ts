import { definePass, PASS_API_VERSION, type Rule, rewrite } from "@pare/core";

/** `Identity` and, as it does nothing when it infers, `Dropout` whose mask nobody reads. */
const identity: Rule = {
  name: "identity",
  ops: ["Identity", "Dropout"],
  match(n, view) {
    const [from, mask] = n.outputs;
    const to = n.inputs[0];
    if (!from || !to) return undefined;
    if (n.op === "Dropout") {
      const training = n.inputs[2] ? view.constant(n.inputs[2])?.bytes?.[0] : 0;
      if (training !== 0 || (mask && (view.uses(mask).length > 0 || view.isOutput(mask)))) return undefined;
    }
    return { remove: [n], redirect: [from, to] };
  },
};

/** Removes nodes that give their input unchanged. One that copies an input or weight to an output stays. */
export const removeIdentity = definePass({
  name: "remove-identity",
  apiVersion: PASS_API_VERSION,
  run: (model, _, ctx) =>
    rewrite(model, [identity], { signal: ctx.signal, onRewrite: (_rule, node, view) => ctx.done({ view, node }) }),
});
