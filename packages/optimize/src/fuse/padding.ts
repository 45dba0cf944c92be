import {
  attr,
  attribute,
  constantOf,
  type GraphView,
  intAttribute,
  intsAttribute,
  type Node,
  type Rule,
} from "@pare/core";
import { numbersOf } from "@pare/ops/numeric";
import { rulePass } from "../rule-pass.ts";

/** The number with which a window operator fills the outside, if padding can become its own. */
const filling: Readonly<Record<string, number>> = { Conv: 0, AveragePool: 0, MaxPool: Number.NEGATIVE_INFINITY };

/** Padding of the spatial axes by what a window operator pads with itself. */
const padThenWindow: Rule = {
  name: "pad-window",
  ops: Object.keys(filling),
  match(n, view) {
    const pad = view.producer(n.inputs[0]!);
    if (pad?.op !== "Pad" || pad.domain !== "") return undefined;
    const added = spatialPads(pad, view, filling[n.op]!);
    const auto = attribute(n, "auto_pad", "string") ?? "NOTSET";
    if (!added || (auto !== "NOTSET" && auto !== "VALID") || intAttribute(n, "ceil_mode", 0) !== 0) return undefined;
    const own = auto === "VALID" ? undefined : intsAttribute(n, "pads");
    if (own && own.length !== added.length) return undefined;
    const isMean = n.op === "AveragePool";
    // The zeros that are added count for a mean; its own must do as well.
    if (isMean && intAttribute(n, "count_include_pad", 0) === 0 && own?.some((p) => p !== 0)) return undefined;
    // Indices of a maximum are counted in what is padded.
    if (n.op === "MaxPool" && n.outputs[1]) return undefined;
    const pads = added.map((p, i) => p + (own?.[i] ?? 0));
    // Runtimes refuse a pool whose windows may lie outside altogether.
    const kernel = n.op === "Conv" ? undefined : intsAttribute(n, "kernel_shape");
    if (kernel && pads.some((p, i) => p >= kernel[i % kernel.length]!)) return undefined;
    const attributes = new Map(n.attributes).set("pads", attr.ints(pads));
    attributes.delete("auto_pad");
    if (isMean) attributes.set("count_include_pad", attr.int(1));
    const fused: Node = { ...n, inputs: [pad.inputs[0]!, ...n.inputs.slice(1)], attributes };
    return { remove: [n], keep: [pad], add: [fused] };
  },
};

/** How much a `Pad` adds at the begins and ends of the spatial axes; undefined where it does anything else. */
function spatialPads(pad: Node, view: GraphView, fill: number): number[] | undefined {
  if ((attribute(pad, "mode", "string") ?? "constant") !== "constant" || pad.inputs[3]) return undefined;
  const value = pad.inputs[2] ? constantOf(view, pad.inputs[2]) : undefined;
  if (pad.inputs[2] && !value) return undefined;
  const filled = value ? numbersOf(value)[0] : 0;
  const pads = constantOf(view, pad.inputs[1]!);
  if (!pads || filled !== fill) return undefined;
  const numbers = numbersOf(pads).map(Number);
  const rank = numbers.length / 2;
  const outer = [0, 1, rank, rank + 1].every((i) => numbers[i] === 0);
  if (rank < 3 || !outer || numbers.some((p) => p < 0)) return undefined;
  return [...numbers.slice(2, rank), ...numbers.slice(rank + 2)];
}

/** Makes the padding before convolutions and poolings part of them. */
export const fusePadding = rulePass("fuse-padding", [padThenWindow]);
