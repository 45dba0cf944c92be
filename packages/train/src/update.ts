/** Parts of the update of parameters. */
import {
  type Edit,
  failure,
  isFloat,
  type Node,
  node,
  type ResidentTensor,
  type Tensor,
  tensor,
  type Weight,
} from "@pare/core";

export interface Clip {
  /** Largest norm of all gradients together. */
  readonly norm?: number;
  /** Largest magnitude of each number. */
  readonly value?: number;
}

/** Adds nodes at the end of a batch of changes. */
export interface Writer {
  readonly nodes: Node[];
  op(op: string, inputs: readonly string[], attributes?: Parameters<typeof node>[3]): string;
  to(op: string, inputs: readonly string[], output: string, attributes?: Parameters<typeof node>[3]): void;
  number(v: number): string;
  constant(t: Tensor): string;
}

export function writer(e: Edit): Writer {
  const nodes: Node[] = [];
  const numbers = new Map<number, string>();
  const constant = (t: Tensor) => e.addWeight(e.view.main, e.fresh("update_constant"), t);
  return {
    nodes,
    op(op, inputs, attributes) {
      const name = e.fresh(`update_${op}`);
      nodes.push(node(op, inputs, [name], attributes));
      return name;
    },
    to: (op, inputs, output, attributes) => void nodes.push(node(op, inputs, [output], attributes)),
    number(v) {
      const known = numbers.get(v) ?? constant(tensor("float32", [], [v]));
      numbers.set(v, known);
      return known;
    },
    constant,
  };
}

/** The largest number of float32: what is not below it is infinite or no number. */
export const isFiniteValue = (w: Writer, v: string): string =>
  w.op("LessOrEqual", [w.op("Abs", [v]), w.number(3.4028234663852886e38)]);

export function masked(w: Writer, mask: ResidentTensor | undefined, v: string, p: Weight): string {
  if (!mask) return v;
  if (`${mask.shape}` !== `${p.tensor.shape}` || !isFloat(mask.dtype))
    throw failure("train/options", `the mask is ${mask.dtype} [${mask.shape}], not float32 [${p.tensor.shape}]`, {
      location: { value: p.name },
    });
  return w.op("Mul", [v, w.constant(mask)]);
}

export function clipped(w: Writer, clip: Clip | undefined, norm: string): (g: string) => string {
  const { norm: most, value: each } = clip ?? {};
  if ([most, each].some((v) => v !== undefined && !(v > 0)))
    throw failure("train/options", "gradients are clipped to more than 0");
  const factor =
    most === undefined
      ? undefined
      : w.op("Min", [w.number(1), w.op("Div", [w.number(most), w.op("Add", [norm, w.number(1e-6)])])]);
  return (g) => {
    const short = factor === undefined ? g : w.op("Mul", [g, factor]);
    return each === undefined ? short : w.op("Clip", [short, w.number(-each), w.number(each)]);
  };
}

export const zeros = (t: Tensor): Tensor => tensor("float32", t.shape, new Float32Array(t.byteLength / 4));
