import { type Attribute, attr, type Edit, type Node, node, type Tensor, type Weight } from "@pare/core";
import { inFunction } from "@pare/ops/weights";
import type { Granularity } from "./layout.ts";

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

/** About what the node that {@link storeCodes} adds and the names of its tensors take in a file. */
export const DECODER_BYTES = 150;

/** Puts codes behind a DequantizeLinear in the place of a weight; without a zero point it is 0. */
export function storeCodes(
  e: Edit,
  w: Weight,
  {
    codes,
    scale,
    zeroPoint,
  }: { readonly codes: Tensor; readonly scale: Tensor; readonly zeroPoint?: Tensor | undefined },
  granularity: Granularity,
): void {
  const attributes: Record<string, Attribute> = {};
  if (granularity.kind !== "tensor") attributes.axis = attr.int(granularity.axis);
  if (granularity.kind === "block") attributes.block_size = attr.int(granularity.size);
  const tensors = [
    { suffix: "quantized", tensor: codes },
    { suffix: "scale", tensor: scale },
    ...(zeroPoint ? [{ suffix: "zero_point", tensor: zeroPoint }] : []),
  ];
  encodeWeight(e, w, tensors, (names) => [
    node("DequantizeLinear", names, [w.name], attributes, { name: `${w.name}_DequantizeLinear` }),
  ]);
}
