import { constantNodeValue, definePass, edit, PASS_API_VERSION, viewOf } from "@pare/core";
import { inFunction } from "@pare/ops/weights";

/**
 * Makes weights of what `Constant` nodes hold, under the same names. One that is an output of its graph stays, and so do
 * those in bodies of functions, which hold no weights.
 */
export const liftConstants = definePass({
  name: "lift-constants",
  apiVersion: PASS_API_VERSION,
  run: (model, _, ctx) =>
    edit(model, (e) => {
      for (const view of viewOf(model).graphs) {
        if (inFunction(view)) continue;
        for (const node of view.graph.nodes) {
          const tensor = constantNodeValue(node);
          const name = node.outputs[0]!;
          if (!tensor || view.isOutput(name)) continue;
          e.replace(node, []);
          e.replaceValue(view, name, e.addWeight(view, name, tensor));
          ctx.done({ view, node });
        }
      }
    }),
});
