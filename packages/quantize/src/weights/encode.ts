import { attr, type Edit, type Node, node, type Tensor, type Weight } from "@pare/core";
import { inFunction } from "@pare/ops/weights";

/**
 * Puts encoded tensors in the place of a weight and the nodes that decode them under the weight's name, so that
 * whatever read the weight reads the decoded one.
 * @param decode makes the nodes from the names of the tensors, in order; the last writes `w.name`
 */
export function encodeWeight(
  e: Edit,
  w: Weight,
  tensors: readonly { readonly suffix: string; readonly tensor: Tensor }[],
  decode: (names: readonly string[]) => readonly Node[],
): void {
  const constants: Node[] = [];
  const names = tensors.map(({ suffix, tensor }) => {
    const name = e.fresh(`${w.name}_${suffix}`);
    if (!inFunction(w.view)) return e.addWeight(w.view, name, tensor);
    constants.push(node("Constant", [], [name], { value: attr.tensor(tensor) }));
    return name;
  });
  const nodes = [...constants, ...decode(names)];
  if (w.node) e.replace(w.node, nodes);
  else {
    e.removeWeight(w.view, w.name);
    e.insert(w.view, nodes, w.view.graph.nodes[0]);
  }
}
