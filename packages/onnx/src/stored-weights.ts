import {
  attr,
  edit,
  type GraphView,
  intAttribute,
  lazyTensor,
  type Model,
  type Node,
  node,
  operatorOf,
  type Tensor,
  tensor,
} from "@pare/core";
import { codeOf } from "@pare/ops/dtype-codes";

/**
 * The model with integer weights that are only stored so (what reads them computes in float32) decoded by Cast, Sub and
 * Mul, to the same values, in the place of DequantizeLinear. ONNX Runtime folds those when it loads a model, so that it
 * runs as fast as with float weights; DequantizeLinear it keeps, for fusion with quantized activations, and computes in
 * every run. Weights beside quantized activations or in blocks of 4 bits stay behind DequantizeLinear.
 */
export function decodeOnLoad(model: Model): Model {
  return edit(model, (e) => {
    for (const view of e.view.graphs) {
      // Bodies of functions hold no weights.
      if (view.path.startsWith("function ")) continue;
      for (const n of view.graph.nodes) {
        const stored = storedWeight(view, n);
        if (!stored) continue;
        const { scale, zeroPoint, shape } = stored;
        const name = (part: string) => e.fresh(`${n.outputs[0]}_${part}`);
        /** A parameter of the decoder in the shape that broadcasts; the old one goes if nothing else reads it. */
        const parameter = (from: string, t: Tensor) => {
          if (shape === undefined) return from;
          const home = view.definer(from)!;
          const maker = home.producer(from);
          if (home.uses(from).length === 1 && !home.isOutput(from))
            maker ? e.replace(maker, []) : e.removeWeight(home, from);
          const { dtype, key } = t;
          return e.addWeight(
            home,
            e.fresh(from),
            lazyTensor({ dtype, shape, key, read: (r, signal) => t.read(r, signal) }),
          );
        };
        const nodes: Node[] = [];
        const write = (op: string, inputs: readonly string[], part: string, attributes = {}) => {
          const made = name(part);
          nodes.push(node(op, inputs, [made], attributes));
          return made;
        };
        const toFloat = (from: string, part: string) =>
          write("Cast", [from], part, { to: attr.int(codeOf("float32")) });
        const blocks = stored.blocks;
        const reshape = (from: string, to: readonly number[], part: string) =>
          write("Reshape", [from, e.addWeight(view, e.fresh(`${n.outputs[0]}_shape`), int64(to))], part);
        let codes = toFloat(blocks ? reshape(n.inputs[0]!, blocks, "blocks") : n.inputs[0]!, "float");
        if (zeroPoint)
          codes = write("Sub", [codes, toFloat(parameter(n.inputs[2]!, zeroPoint), "zero_point")], "shifted");
        const factors = [codes, parameter(n.inputs[1]!, scale)];
        if (!blocks) nodes.push(node("Mul", factors, n.outputs, {}, { name: n.name }));
        else {
          const whole = e.addWeight(view, e.fresh(`${n.outputs[0]}_shape`), int64(stored.whole));
          nodes.push(node("Reshape", [write("Mul", factors, "scaled"), whole], n.outputs, {}, { name: n.name }));
        }
        e.replace(n, nodes);
      }
    }
  });
}

interface StoredWeight {
  readonly scale: Tensor;
  readonly zeroPoint?: Tensor | undefined;
  /** The shape in which scale and zero point broadcast over the weight; undefined where they do as they are. */
  readonly shape?: readonly number[] | undefined;
  /** The shape of the weight, and the one in which each block has an axis of its own. */
  readonly whole: readonly number[];
  readonly blocks?: readonly number[] | undefined;
}

const int64 = (numbers: readonly number[]) => tensor("int64", [numbers.length], numbers.map(BigInt));

const formats: ReadonlySet<string> = new Set(["int4", "int8", "uint8", "int16", "uint16", "int32"]);

function storedWeight(view: GraphView, n: Node): StoredWeight | undefined {
  if (operatorOf(n) !== "DequantizeLinear") return undefined;
  const [codes, scale, zeroPoint] = n.inputs.map((v) => (v === "" ? undefined : view.constant(v)));
  if (!codes || scale?.dtype !== "float32" || !formats.has(codes.dtype) || (n.inputs[2] && !zeroPoint))
    return undefined;
  const readers = view.uses(n.outputs[0]!);
  if (view.isOutput(n.outputs[0]!) || readers.some((use) => use.node.inputs.some((v) => isQuantized(use.view, v))))
    return undefined;
  const rank = codes.shape.length;
  const axis = intAttribute(n, "axis", 1);
  const along = axis < 0 ? axis + rank : axis;
  const whole = codes.shape;
  const size = intAttribute(n, "block_size", 0);
  if (size > 0) {
    // Those of 4 bits ONNX Runtime fuses with the product that reads them.
    if (codes.dtype === "int4" || !(along >= 0 && along < rank) || whole[along]! % size !== 0) return undefined;
    const split = (block: number) => whole.flatMap((d, i) => (i === along ? [d / size, block] : [d]));
    return { scale, zeroPoint, whole, blocks: split(size), shape: split(1) };
  }
  if (scale.shape.length > 1 || (scale.shape.length === 1 && !(along >= 0 && along < rank))) return undefined;
  const broadcasts = scale.shape.length === 0 || along === rank - 1;
  return { scale, zeroPoint, whole, shape: broadcasts ? undefined : codes.shape.map((d, i) => (i === along ? d : 1)) };
}

/** Whether a value is an activation that was quantized or goes to be. */
function isQuantized(view: GraphView, value: string): boolean {
  const maker = view.definer(value)?.producer(value);
  return maker !== undefined && operatorOf(maker) === "DequantizeLinear" && !view.constant(maker.inputs[0]!);
}
