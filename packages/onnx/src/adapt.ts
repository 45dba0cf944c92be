import type { Attribute, AttributeKind, AttributeValue, DType, Node } from "@pare/core";
import type { NodeContext } from "@pare/ops/lower";
import { fail } from "./codes.ts";

/** What an adapter may ask and add. */
export interface AdaptContext extends NodeContext {
  /** A constant of the element type of another value, and the nodes that make it where the type is not known. */
  scalarLike(base: string, like: string, value: number): { readonly name: string; readonly nodes: readonly Node[] };
  /** Number of dimensions of a value, where it is known. */
  rank(value: string): number | undefined;
  dtype(value: string): DType | undefined;
}

/** Says a node of the version before in the words of the version it stands for in the table. */
export type Adapter = (n: Node, ctx: AdaptContext) => Node | readonly Node[];

/** Adapters by operator, ascending by the version that changed it. */
export type AdapterTable = ReadonlyMap<string, readonly (readonly [version: number, Adapter])[]>;

export const noAdapter = (ctx: AdaptContext, n: Node, why: string) =>
  fail("onnx/no-adapter", `this ${n.op} cannot be converted: ${why}`, {
    location: ctx.location,
    hint: "Export the model again at a newer opset, or open it with upgrade: false.",
  });

const malformed = (ctx: AdaptContext, n: Node, why: string) =>
  fail("onnx/adapter", `this ${n.op} is not what its opset says: ${why}`, { location: ctx.location });

/** Checks the number of inputs and outputs; the first `min` inputs must be there. */
export function arity(n: Node, ctx: AdaptContext, min: number, max: number, maxOutputs = 1): void {
  const { inputs, outputs } = n;
  if (inputs.length < min || inputs.length > max || inputs.slice(0, min).includes(""))
    throw malformed(ctx, n, `it has ${inputs.length} inputs where ${min === max ? min : `${min} to ${max}`} belong`);
  if (outputs.length < 1 || outputs.length > maxOutputs)
    throw malformed(ctx, n, `it has ${outputs.length} outputs where 1 to ${maxOutputs} belong`);
}

/** An attribute's value, checked to be of its kind. */
export function attributeOf<K extends AttributeKind>(
  n: Node,
  ctx: AdaptContext,
  name: string,
  kind: K,
): AttributeValue<K> | undefined {
  const a = n.attributes.get(name);
  if (!a) return undefined;
  if (a.type === "ref") throw noAdapter(ctx, n, `its ${name} is an attribute of the function around it`);
  if (a.type !== kind) throw malformed(ctx, n, `${name} is of type ${a.type}, not ${kind}`);
  return a.value as AttributeValue<K>;
}

/**
 * A list of integers, checked to be of `length`, if given. Those beyond all safe integers, such as the 2^63 - 1 that says `to
 * the end`, become the nearest that is safe.
 */
export function listOf(n: Node, ctx: AdaptContext, name: string, length?: number): readonly number[] | undefined {
  const list = attributeOf(n, ctx, name, "ints")?.map((v) =>
    Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Number(v))),
  );
  if (list && length !== undefined && list.length !== length)
    throw malformed(ctx, n, `${name} has ${list.length} elements where ${length} belong`);
  return list;
}

/** The node with attributes taken away (`undefined`) and set. */
export function withAttributes(n: Node, changes: Readonly<Record<string, Attribute | undefined>>): Node {
  const attributes = new Map(n.attributes);
  for (const [name, a] of Object.entries(changes)) {
    if (a) attributes.set(name, a);
    else attributes.delete(name);
  }
  return { ...n, attributes };
}

/** The node with inputs set; those left out in between are empty, at the end absent. */
export function withInputs(n: Node, inputs: readonly (string | undefined)[]): Node {
  const all = inputs.map((v) => v ?? "");
  while (all.at(-1) === "") all.pop();
  return { ...n, inputs: all };
}
