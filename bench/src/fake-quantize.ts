import { constantOf, edit, type Model, node, type ResidentTensor, resident, type Tensor, viewOf } from "@pare/core";
import { evaluateNode } from "@pare/ops/evaluate";

/**
 * A model of which a pass stored weights as codes, so that they can be trained: the float weights of `source` go through
 * QuantizeLinear, with the scales that the pass found, where the codes were.
 */
export const withRounding = (quantized: Model, source: Model): Model =>
  edit(quantized, (e) => {
    const { main } = e.view;
    for (const n of main.graph.nodes) {
      const weight = n.op === "DequantizeLinear" ? source.graph.weights.get(n.outputs[0]!) : undefined;
      if (!weight) continue;
      const [codes, scale, zero] = n.inputs as [string, string, string];
      const float = e.addWeight(main, e.fresh(`${n.outputs[0]}_float`), weight);
      const rounded = e.fresh(codes);
      e.replace(n, [
        node("QuantizeLinear", [float, scale, zero], [rounded], n.attributes),
        { ...n, inputs: [rounded, scale, zero] },
      ]);
      e.removeWeight(main, codes);
    }
  });

/** The model with codes in the place of weights that are rounded in the graph. */
export async function withCodes(model: Model, signal: AbortSignal): Promise<Model> {
  const { main } = viewOf(model);
  const codes = new Map<string, Tensor>();
  for (const n of main.graph.nodes) {
    const weight = n.op === "QuantizeLinear" ? main.constant(n.inputs[0]!) : undefined;
    if (!weight) continue;
    const parameters = await Promise.all(
      n.inputs.slice(1).map((v) => constantOf(main, v) ?? resident(main.constant(v)!, signal)),
    );
    const [made] = evaluateNode(n, [await resident(weight, signal), ...parameters]) as [ResidentTensor];
    codes.set(n.outputs[0]!, made);
  }
  return edit(model, (e) => {
    for (const [name, t] of codes) {
      const n = main.producer(name)!;
      e.replace(n, []);
      e.addWeight(main, name, t);
      e.removeWeight(main, n.inputs[0]!);
    }
  });
}
