import { constantOf, type GraphView, type Node, type ResidentTensor, type Tensor } from "@pare/core";
import { numbersOf } from "@pare/ops/numeric";

/** What a value must be to match. */
export type Pattern =
  | { readonly kind: "any"; readonly name: string }
  | { readonly kind: "constant"; readonly name: string }
  | { readonly kind: "number"; readonly is: number | string }
  | { readonly kind: "op"; readonly op: string; readonly inputs: readonly Pattern[]; readonly name?: string };

/** Any value; the same one wherever the name stands. */
export const any = (name: string): Pattern => ({ kind: "any", name });
/** A weight. */
export const constant = (name: string): Pattern => ({ kind: "constant", name });
/** A constant of one element: this number (to 5 digits), or any by a name. */
export const number = (is: number | string): Pattern => ({ kind: "number", is });
/**
 * The first output of an operator of the standard domain. Operands of `Add` and `Mul` match in
 * either order; inputs that the pattern does not list must be left out.
 */
export const op = (name: string, ...inputs: readonly Pattern[]): Pattern => ({ kind: "op", op: name, inputs });
/** The same with a name, by which the node is found in the match, and its value as `any` of that name. */
export const named = (name: string, p: Pattern): Pattern => (p.kind === "op" ? { ...p, name } : p);

/** What the names of a pattern stand for, and the nodes of the operators in it, the outermost first. */
export interface Match {
  readonly values: ReadonlyMap<string, string>;
  readonly numbers: ReadonlyMap<string, number>;
  readonly named: ReadonlyMap<string, Node>;
  readonly nodes: readonly Node[];
}

const commutative = new Set(["Add", "Mul"]);

/** Matches a node that writes the value of a pattern. */
export function matchNode(n: Node, p: Pattern, view: GraphView): Match | undefined {
  const start: Match = { values: new Map(), numbers: new Map(), named: new Map(), nodes: [] };
  return p.kind === "op" ? matchOp(n, p, view, start) : undefined;
}

function matchOp(n: Node, p: Pattern & { kind: "op" }, view: GraphView, so: Match): Match | undefined {
  if (n.op !== p.op || n.domain !== "" || so.nodes.includes(n)) return undefined;
  if (n.inputs.slice(p.inputs.length).some(Boolean) || n.outputs.slice(1).some(Boolean)) return undefined;
  const orders = commutative.has(p.op) ? [n.inputs, n.inputs.toReversed()] : [n.inputs];
  for (const inputs of orders) {
    if (!p.inputs.every((part, i) => couldBe(inputs[i] ?? "", part, view))) continue;
    const named = p.name ? new Map(so.named).set(p.name, n) : so.named;
    let match: Match | undefined = { ...so, nodes: [...so.nodes, n], named };
    for (const [i, part] of p.inputs.entries()) match = match && matchValue(inputs[i] ?? "", part, view, match);
    if (match) return match;
  }
  return undefined;
}

/** Whether a value is of the right kind at first sight: most nodes are ruled out by this. */
const couldBe = (v: string, p: Pattern, view: GraphView): boolean =>
  p.kind === "op" ? view.producer(v)?.op === p.op : p.kind === "any" || view.constant(v) !== undefined;

function matchValue(v: string, p: Pattern, view: GraphView, so: Match): Match | undefined {
  if (v === "") return undefined;
  switch (p.kind) {
    case "constant":
      return view.constant(v) ? bound(v, p.name, so) : undefined;
    case "any":
      return bound(v, p.name, so);
    case "number": {
      const found = oneNumber(constantOf(view, v));
      if (found === undefined) return undefined;
      const is = typeof p.is === "number" ? p.is : so.numbers.get(p.is);
      if (is !== undefined) return Math.abs(found - is) <= 1e-5 * Math.abs(is) ? so : undefined;
      return { ...so, numbers: new Map(so.numbers).set(p.is as string, found) };
    }
    default: {
      const made = view.producer(v);
      if (!made || made.outputs[0] !== v || view.isOutput(v)) return undefined;
      const match = matchOp(made, p, view, so);
      return match && p.name ? bound(v, p.name, match) : match;
    }
  }
}

function bound(v: string, name: string, so: Match): Match | undefined {
  const before = so.values.get(name);
  if (before !== undefined) return before === v ? so : undefined;
  return { ...so, values: new Map(so.values).set(name, v) };
}

const oneNumber = (t: ResidentTensor | undefined): number | undefined =>
  t && isOne(t) && t.dtype !== "string" ? Number(numbersOf(t)[0]) : undefined;

const isOne = (t: Tensor): boolean => t.shape.every((d) => d === 1);

/** Whether nobody but the nodes of a match reads what its inner nodes write. */
export const isClosed = ({ nodes: [, ...inner], nodes }: Match, view: GraphView): boolean =>
  inner.every((n) => n.outputs.every((v) => !view.isOutput(v) && view.uses(v).every((u) => nodes.includes(u.node))));
