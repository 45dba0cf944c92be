import {
  type Attribute,
  type AttributeKind,
  type AttributeValue,
  attr,
  constantOf,
  type Dim,
  type DType,
  dataOf,
  type Graph,
  graph,
  IR_OPSET,
  type Node,
  node,
  type ResidentTensor,
  type Tensor,
  tensor,
  type ValueType,
  value,
} from "@pare/core";
import { codeOf } from "../dtype-codes.ts";
import { outputDTypes } from "../schema.ts";
import type { NodeContext } from "./context.ts";

/** Where a node stands that is said in older words. */
export interface Scope extends NodeContext {
  /** The opset in whose words it is said. */
  readonly target: number;
  typeOf(value: string): ValueType | undefined;
  /** Names of the types that a value may have whose type is not known. */
  readonly possible: ReadonlySet<string>;
  /** Elements of a small tensor of integers, as far as they are known. */
  intsOf(value: string): readonly Dim[] | undefined;
  /** Element types and contents of the values that conversions added. */
  readonly made: Map<string, { readonly dtype: DType; readonly tensor?: Tensor }>;
  /** Throws what a lowering that cannot be throws: `why` is about `node`. */
  refuse(why: string, node?: Node): never;
}

type Attributes = Readonly<Record<string, Attribute | undefined>>;

/** Writes the nodes that say one node in the words of an older version. What is asked of it and not known is refused. */
export interface Builder {
  readonly node: Node;
  /** The opset that is asked for. */
  readonly target: number;
  readonly nodes: readonly Node[];
  /** An input by its position; undefined where it is left out. */
  input(index: number): string | undefined;
  /** Adds a node and returns its first output: of a new name, or those given. */
  add(
    op: string,
    inputs: readonly (string | undefined)[],
    attributes?: Attributes,
    outputs?: readonly string[],
  ): string;
  /** Adds the node that writes the first output of the node that is converted. */
  give(op: string, inputs: readonly (string | undefined)[], attributes?: Attributes): void;
  /** Adds the node itself with changes. */
  keep(changes: {
    op?: string;
    inputs?: readonly (string | undefined)[];
    outputs?: readonly string[];
    attributes?: Attributes;
  }): void;
  /** Says the element type of values that no schema tells: those of the graphs inside. */
  note(dtype: DType, ...values: readonly string[]): void;
  fresh(what: string): string;
  constant(t: Tensor): string;
  /** A constant [N] of int64, and a scalar of int64. */
  ints(values: readonly number[]): string;
  int(value: number): string;
  /** A scalar of a floating-point type. */
  float(value: number, dtype: DType): string;
  /** The value in another element type. */
  cast(value: string, dtype: DType): string;
  castTo(value: string, dtype: DType, output: string): void;
  /** Dimensions of a value from `start` up to `end`, as a tensor [N]. */
  dims(value: string, start: number, end?: number): string;
  /** A dimension as a scalar. */
  dim(value: string, axis: number): string;
  /** A graph whose nodes `body` adds; it gives the names of the outputs. */
  graph(inputs: readonly { readonly name: string; readonly dtype: DType }[], body: () => readonly string[]): Graph;
  attribute<K extends AttributeKind>(name: string, kind: K): AttributeValue<K> | undefined;
  intOf(name: string, fallback: number): number;
  floatOf(name: string, fallback: number): number;
  textOf(name: string, fallback: string): string;
  intsOf(name: string): readonly number[] | undefined;
  typeOf(value: string): ValueType | undefined;
  dtype(value: string): DType;
  rank(value: string): number;
  shape(value: string): readonly Dim[] | undefined;
  /** The integers of a constant; undefined where they are known only when the model runs. */
  constantInts(value: string): readonly number[] | undefined;
  constantFloats(value: string): readonly number[] | undefined;
  constantBool(value: string): boolean | undefined;
  /** Elements of integers as far as they are known. */
  elements(value: string): readonly Dim[] | undefined;
  refuse(why: string): never;
}

/** As the end of a slice: everything. */
export const LAST = Number.MAX_SAFE_INTEGER;

/** Says a node of one version, which it is in the table under, in words of the versions before. */
export type Lower = (b: Builder) => void;

export function builderOf(n: Node, scope: Scope): Builder {
  const { made } = scope;
  let nodes: Node[] = [];

  const typeOf = (name: string): ValueType | undefined => {
    const known = made.get(name);
    return known ? { kind: "tensor", dtype: known.dtype, shape: known.tensor?.shape } : scope.typeOf(name);
  };
  const dtypeOf = (name: string): DType | undefined => {
    const type = typeOf(name);
    return type?.kind === "tensor" ? type.dtype : undefined;
  };
  const push = (m: Node) => {
    const inputs = m.inputs.map((name) => ({ dtype: dtypeOf(name) }));
    for (const [i, dtype] of outputDTypes(m, inputs, IR_OPSET).entries())
      if (dtype && m.outputs[i]) made.set(m.outputs[i], { dtype });
    nodes.push(m);
  };
  const list = (inputs: readonly (string | undefined)[]) => {
    const all = inputs.map((v) => v ?? "");
    while (all.at(-1) === "") all.pop();
    return all;
  };
  const constant = (name: string) => made.get(name)?.tensor ?? constantOf(scope.view, name);
  const present = (attributes: Attributes) =>
    new Map(Object.entries(attributes).filter((entry): entry is [string, Attribute] => entry[1] !== undefined));

  const b: Builder = {
    node: n,
    target: scope.target,
    get nodes() {
      return nodes;
    },
    input: (index) => n.inputs[index] || undefined,
    add(op, inputs, attributes = {}, outputs = [b.fresh(op)]) {
      push(node(op, list(inputs), outputs, present(attributes)));
      return outputs[0]!;
    },
    give: (op, inputs, attributes) => void b.add(op, inputs, attributes, [n.outputs[0]!]),
    keep({ op = n.op, inputs = n.inputs, outputs = n.outputs, attributes = {} }) {
      const all = new Map(n.attributes);
      for (const [name, a] of Object.entries(attributes)) a ? all.set(name, a) : all.delete(name);
      push({ ...n, op, inputs: list(inputs), outputs, attributes: all });
    },
    note(dtype, ...values) {
      for (const name of values) made.set(name, { dtype });
    },
    fresh: (what) => scope.fresh(`${scope.location.node}_${what}`),
    constant(t) {
      const name = scope.constant(`${scope.location.node}_constant`, t);
      made.set(name, { dtype: t.dtype, tensor: t });
      return name;
    },
    ints: (values) => b.constant(tensor("int64", [values.length], values)),
    int: (number) => b.constant(tensor("int64", [], [number])),
    float: (number, dtype) =>
      dtype === "float64"
        ? b.constant(tensor(dtype, [], [number]))
        : b.cast(b.constant(tensor("float32", [], [number])), dtype),
    cast: (name, dtype) => (dtypeOf(name) === dtype ? name : b.add("Cast", [name], toType(dtype))),
    castTo: (name, dtype, output) => void b.add("Cast", [name], toType(dtype), [output]),
    dims(name, start, end) {
      if (start === 0 && end === undefined) return b.add("Shape", [name]);
      if (scope.target < 15) return b.add("Slice", [b.add("Shape", [name]), b.ints([start]), b.ints([end ?? LAST])]);
      return b.add("Shape", [name], { start: attr.int(start), ...(end !== undefined && { end: attr.int(end) }) });
    },
    dim: (name, axis) => b.add("Squeeze", [b.dims(name, axis, axis === -1 ? undefined : axis + 1), b.ints([0])]),
    graph(inputs, body) {
      const around = nodes;
      nodes = [];
      for (const { name, dtype } of inputs) b.note(dtype, name);
      const outputs = body();
      const inner = nodes;
      nodes = around;
      return graph({
        name: `${n.op}_body`,
        nodes: inner,
        inputs: inputs.map(({ name, dtype }) => value(name, dtype)),
        outputs: outputs.map((name) => value(name, b.dtype(name))),
      });
    },
    attribute(name, kind) {
      const a = n.attributes.get(name);
      if (a?.type === "ref") return b.refuse(`its ${name} is an attribute of the function around it`);
      return a?.type === kind ? (a.value as AttributeValue<typeof kind>) : undefined;
    },
    intOf: (name, fallback) => Number(b.attribute(name, "int") ?? fallback),
    floatOf: (name, fallback) => b.attribute(name, "float") ?? fallback,
    textOf: (name, fallback) => String(b.attribute(name, "string") ?? fallback),
    intsOf: (name) => b.attribute(name, "ints")?.map(Number),
    typeOf,
    dtype: (name) => dtypeOf(name) ?? b.refuse(`the element type of ${name} is not known`),
    rank: (name) => b.shape(name)?.length ?? b.refuse(`the number of dimensions of ${name} is not known`),
    shape(name) {
      const type = typeOf(name);
      return type?.kind === "tensor" ? type.shape : undefined;
    },
    constantInts: (name) => numbers(constant(name), "int32", "int64"),
    constantFloats: (name) => numbers(constant(name), "float32", "float64"),
    constantBool(name) {
      const [only] = numbers(constant(name), "bool") ?? [];
      return only === undefined ? undefined : only !== 0;
    },
    elements: (name) => b.constantInts(name) ?? scope.intsOf(name),
    refuse(why) {
      return scope.refuse(why, n);
    },
  };
  return b;
}

const numbers = (t: Tensor | undefined, ...dtypes: readonly DType[]) =>
  t?.bytes && dtypes.includes(t.dtype)
    ? Array.from(dataOf(t as ResidentTensor) as ArrayLike<number>, Number)
    : undefined;

/** Values one after another along an axis. */
export const join = (b: Builder, axis: number, ...parts: readonly string[]): string =>
  b.add("Concat", parts, { axis: attr.int(axis) });

/** A value with its dimensions in another order. */
export const permute = (b: Builder, x: string, ...perm: readonly number[]): string =>
  b.add("Transpose", [x], { perm: attr.ints(perm) });

/** The attribute of a Cast. */
export const toType = (dtype: DType): Attributes => ({ to: attr.int(codeOf(dtype)) });
