import {
  attr,
  type Edit,
  edit,
  type GraphView,
  graph,
  labelOf,
  type Model,
  model,
  type Node,
  node,
  tensor,
  value,
  viewOf,
} from "@pare/core";
import { inferTypes, valuesFromInputs } from "@pare/ops/infer";
import { withConstants } from "@pare/ops/schema";

/** ONNX Runtime's own operators on [N, C / block, H, W, block], which it writes itself where weights are constants. */
const DOMAIN = "com.microsoft.nchwc";
/** Channels that are brought into blocks come in multiples of this. */
const ALIGNED = 4;
/** Least part of the multiplications that are no padding of channels for which it is worth it. */
const USEFUL = 0.4;

/** A model whose output has as many channels as a block of the machine it runs on. An engine without blocks refuses it. */
export const blockProbe = (): Model =>
  model(
    graph({
      inputs: [value("x", "float32", [1, ALIGNED, 1, 1])],
      outputs: [value("y", "float32")],
      nodes: [node("ReorderInput", ["x"], ["y"], {}, { domain: DOMAIN })],
    }),
    { opsets: new Map([["", 17] as const, [DOMAIN, 1] as const]) },
  );

/**
 * Says convolutions whose weights come from inputs, as in training, in the engine's operators on blocks of channels, which are
 * two to four times as fast as those on whole images. Values keep their names and shapes; results differ as sums do that are
 * added up in another order. What is computed from constants alone the engine folds or, where it is decoded from integers, fuses: it
 * must find that as it was written.
 * @param blockOf gives the channels of a block, 1 where the engine has none; asked only where it matters
 */
export async function blockedConvolutions(source: Model, blockOf: () => number | Promise<number>): Promise<Model> {
  const { main } = viewOf(source);
  const fed = valuesFromInputs(main.graph);
  const open = main.graph.nodes.filter((n) => n.op === "Conv" && n.domain === "" && fed.has(n.inputs[1]!));
  if (open.length === 0) return source;
  const block = await blockOf();
  if (block === 1) return source;
  const typeOf = withConstants(main, inferTypes(source).of);
  const shapeOf = (v: string) => {
    const type = typeOf(v);
    return type?.kind === "tensor" && type.dtype === "float32" ? type.shape : undefined;
  };
  return edit(source, (e) => {
    e.setModel({ opsets: new Map([...source.opsets, [DOMAIN, 1]]) });
    for (const n of open) {
      const w = shapeOf(n.inputs[1]!);
      const channels = shapeOf(n.inputs[0]!)?.[1];
      if (w?.length !== 4 || !w.every((d) => typeof d === "number") || typeof channels !== "number") continue;
      const layout = layoutOf(w as Filter, channels, block);
      if (layout) e.replace(n, blocked(e, main, n, layout));
    }
  });
}

/** Output channels, input channels of a group, height, width. */
type Filter = readonly [outputs: number, inputs: number, height: number, width: number];

interface Layout {
  readonly filter: Filter;
  readonly block: number;
  /** Channels with those that fill blocks, of the output and of the input in each group. */
  readonly outputs: number;
  readonly inputs: number;
  readonly group: number;
  /** How many channels images lack for them. */
  readonly lacking: number;
  /** Whether images are brought into blocks: fewer channels than a block are read as they are. */
  readonly reorder: boolean;
}

/** What the engine's operators take; undefined where they do not take it, or would mostly compute padding. */
function layoutOf(filter: Filter, channels: number, block: number): Layout | undefined {
  const [outputs, inputs] = filter;
  const group = channels / inputs;
  const whole = (n: number) => Math.ceil(n / block) * block;
  const depthwise = group > 1 && inputs === 1 && outputs === channels;
  if (group > 1 && !depthwise && (inputs % block !== 0 || (outputs / group) % block !== 0)) return undefined;
  const reorder = group > 1 || inputs >= block;
  const filled = {
    outputs: whole(outputs),
    inputs: group === 1 && reorder ? whole(inputs) : inputs,
    group: depthwise ? whole(group) : group,
  };
  if (outputs * inputs < USEFUL * filled.outputs * filled.inputs) return undefined;
  return { filter, block, ...filled, lacking: filled.group * filled.inputs - channels, reorder };
}

function blocked(e: Edit, view: GraphView, n: Node, layout: Layout): Node[] {
  const { filter, block, outputs, inputs, group, lacking, reorder } = layout;
  const [m, c, height, width] = filter;
  const [x, w, bias] = n.inputs as [string, string, string | undefined];
  const nodes: Node[] = [];
  const add = (op: string, from: readonly string[], attributes: Parameters<typeof node>[3] = {}, domain = "") => {
    const name = e.fresh(`${labelOf(n)}_${op}`);
    nodes.push(node(op, from, [name], attributes, { domain }));
    return name;
  };
  const ints = (values: readonly number[]) =>
    e.addWeight(view, e.fresh(`${labelOf(n)}_ints`), tensor("int64", [values.length], values));
  const filled = (v: string, more: readonly number[]) =>
    more.every((k) => k === 0) ? v : add("Pad", [v, ints([...more.map(() => 0), ...more])]);
  const blocks = (v: string) => add("ReorderInput", [v], {}, DOMAIN);

  // [M, C, ...] as [M / block, C / block, ..., block of C, block of M]: first blocks of M, which the engine makes fast.
  const turned = add("Transpose", [filled(w, [outputs - m, inputs - c, 0, 0])], { perm: attr.ints([1, 0, 2, 3]) });
  const places = height * width;
  const split = inputs % block === 0 ? [inputs / block, block] : [inputs, 1];
  const apart = add("Reshape", [blocks(turned), ints([...split, outputs / block, places, block])]);
  const moved = add("Transpose", [apart], { perm: attr.ints([2, 0, 3, 1, 4]) });
  const weights = add("Reshape", [moved, ints([outputs, inputs, height, width])]);

  // What fills the last block is added on the way, but only to channels that are aligned.
  const aligned = lacking % ALIGNED === 0 ? x : filled(x, [0, lacking, 0, 0]);
  const from = [reorder ? blocks(aligned) : x, weights, ...(bias ? [filled(bias, [outputs - m])] : [])];
  const made = e.fresh(`${labelOf(n)}_blocks`);
  const attributes = new Map([...n.attributes, ["group", attr.int(group)]]);
  nodes.push({ ...n, domain: DOMAIN, inputs: from, outputs: [made], attributes });
  nodes.push(node("ReorderOutput", [made], n.outputs, { channels: attr.int(m) }, { domain: DOMAIN }));
  return nodes;
}
