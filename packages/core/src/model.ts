import type { DType } from "./dtype.ts";
import { sameList } from "./same.ts";
import type { Tensor } from "./tensor.ts";

/**
 * A dimension: a number, an expression over symbols (`N`, `2*N+1`), or null where nothing is known. Equal expressions
 * are equal dimensions; two nulls need not be.
 */
export type Dim = number | string | null;

/** The type of a value. A tensor without `shape` has unknown rank. */
export type ValueType =
  | { readonly kind: "tensor" | "sparse"; readonly dtype: DType; readonly shape?: readonly Dim[] | undefined }
  | { readonly kind: "sequence" | "optional"; readonly element?: ValueType }
  | { readonly kind: "map"; readonly key: DType; readonly value?: ValueType }
  | { readonly kind: "opaque"; readonly domain: string; readonly name: string };

/**
 * What a format keeps beside what the IR models, given back when it writes. Opaque, but for `notes`: doc strings and
 * metadata, which only people and tools read, so that a pass may drop them.
 */
export type Extra = Readonly<Record<string, unknown>>;

/** A name and, where it is known, its type. */
export interface ValueInfo {
  readonly name: string;
  readonly type?: ValueType;
  readonly extra?: Extra;
}

/** A 64-bit integer: a number where that is exact, otherwise a bigint. */
export type Int = number | bigint;

/** ONNX's sparse tensor: non-zero `values` [NNZ] at `indices` [NNZ] (linear) or [NNZ, rank] of a dense `shape`. */
export interface SparseTensor {
  readonly values: Tensor;
  readonly indices: Tensor;
  readonly shape: readonly number[];
  readonly extra?: Extra;
}

interface AttributeTypes {
  float: number;
  int: Int;
  /** Bytes where they are not UTF-8. */
  string: string | Uint8Array;
  tensor: Tensor;
  graph: Graph;
  sparse: SparseTensor;
  type: ValueType;
}

/** The value of a node's attribute, or a reference to an attribute of the function that the node stands in. */
export type Attribute = { readonly extra?: Extra } & (
  | { [K in keyof AttributeTypes]: { readonly type: K; readonly value: AttributeTypes[K] } }[keyof AttributeTypes]
  | {
      [K in keyof AttributeTypes]: { readonly type: `${K}s`; readonly value: readonly AttributeTypes[K][] };
    }[keyof AttributeTypes]
  | { readonly type: "ref"; readonly of: AttributeKind; readonly name: string }
);
export type AttributeKind = keyof AttributeTypes | `${keyof AttributeTypes}s`;
export type AttributeValue<K extends AttributeKind> =
  Extract<Attribute, { type: K }> extends { value: infer V } ? V : never;

/**
 * One operation. `domain` is "" for the ONNX standard domain. An empty input name is an optional input left out; an
 * empty output name an output nobody wants.
 */
export interface Node {
  /** For people; may be empty, need not be unique. */
  readonly name: string;
  readonly domain: string;
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, Attribute>;
  readonly extra?: Extra;
}

/** A graph: the main one, a branch or loop body inside a node's attribute (which sees the names around it), or a function's body. */
export interface Graph {
  readonly name: string;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /** In topological order. */
  readonly nodes: readonly Node[];
  /** Constants by name. One that is also an input is a default that the caller may replace. */
  readonly weights: ReadonlyMap<string, Tensor>;
  readonly sparseWeights: ReadonlyMap<string, SparseTensor>;
  /** Types of inner values, as far as they are known. */
  readonly types: ReadonlyMap<string, ValueInfo>;
  readonly extra?: Extra;
}

/** A function of the model: operators of its `domain` and `name` mean `body`. */
export interface FunctionDef {
  readonly domain: string;
  readonly name: string;
  readonly overload: string;
  /** Attributes that a caller must give, and those that have a default. */
  readonly attributes: readonly string[];
  readonly defaults: ReadonlyMap<string, Attribute>;
  readonly opsets: ReadonlyMap<string, number>;
  /** Its inputs and outputs have no types. */
  readonly body: Graph;
  readonly extra?: Extra;
}

/** A network: graph, weights, functions, operator versions and metadata in one immutable object. */
export interface Model {
  readonly graph: Graph;
  readonly functions: readonly FunctionDef[];
  /** Version of each operator domain; "" is the ONNX standard domain. */
  readonly opsets: ReadonlyMap<string, number>;
  readonly metadata: ReadonlyMap<string, string>;
  readonly extra?: Extra;
}

/** The version of the ONNX standard domain that the IR speaks: operators mean what this version says. */
export const IR_OPSET = 27;

const NONE: ReadonlyMap<string, never> = new Map<string, never>();

/** A node from what is not empty. @example node("Relu", ["x"], ["y"]) */
export const node = (
  op: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Readonly<Record<string, Attribute>> | ReadonlyMap<string, Attribute> = NONE,
  more: { name?: string; domain?: string } = {},
): Node => ({
  name: more.name ?? "",
  domain: more.domain ?? "",
  op,
  inputs,
  outputs,
  attributes: new Map(attributes instanceof Map ? attributes : Object.entries(attributes)),
});

/** A graph from what is not empty. */
export const graph = (parts: Partial<Graph> & Pick<Graph, "nodes" | "outputs">): Graph => ({
  name: "",
  inputs: [],
  weights: NONE,
  sparseWeights: NONE,
  types: NONE,
  ...parts,
});

/** A model from what is not empty, at the IR's opset unless another is given. */
export const model = (main: Graph, parts: Partial<Omit<Model, "graph">> = {}): Model => ({
  graph: main,
  functions: [],
  opsets: new Map([["", IR_OPSET]]),
  metadata: NONE,
  ...parts,
});

/** An attribute's value if the node has it with that type. @example attribute(n, "axis", "int") */
export function attribute<K extends AttributeKind>(n: Node, name: string, type: K): AttributeValue<K> | undefined {
  const a = n.attributes.get(name);
  return a?.type === type ? (a as unknown as { value: AttributeValue<K> }).value : undefined;
}

/** An integer attribute as a number. */
export const intAttribute = (n: Node, name: string, fallback: number): number =>
  Number(attribute(n, name, "int") ?? fallback);

/** An attribute of integers as numbers. */
export const intsAttribute = (n: Node, name: string): readonly number[] | undefined =>
  attribute(n, name, "ints")?.map(Number);

const attributeOf =
  <K extends AttributeKind>(type: K) =>
  (value: AttributeValue<K>) =>
    ({ type, value }) as unknown as Attribute;

/** Constructors of the common attributes. */
export const attr = {
  float: attributeOf("float"),
  int: attributeOf("int"),
  string: attributeOf("string"),
  tensor: attributeOf("tensor"),
  graph: attributeOf("graph"),
  floats: attributeOf("floats"),
  ints: attributeOf("ints"),
  strings: attributeOf("strings"),
};

/** A tensor-typed value. @example value("x", "float32", ["N", 3, 224, 224]) */
export const value = (name: string, dtype: DType, shape?: readonly Dim[]): ValueInfo => ({
  name,
  type: { kind: "tensor", dtype, shape },
});

/** What to call a node: its name, or else what it writes. */
export const labelOf = (n: Node): string => n.name || n.outputs.find(Boolean) || n.op;

/** A node as the location of a diagnostic. */
export const placeOf = (n: Node): { readonly node: string; readonly op: string } => ({ node: labelOf(n), op: n.op });

/** A node's operator as tables name it: `Conv`, `com.microsoft.Gelu`. */
export const operatorOf = (n: Pick<Node, "domain" | "op">): string => (n.domain === "" ? n.op : `${n.domain}.${n.op}`);

/** The graphs of an attribute. */
const graphsOf = (a: Attribute): readonly Graph[] =>
  a.type === "graph" ? [a.value] : a.type === "graphs" ? a.value : [];

/** The graphs inside a node's attributes, with the attribute each is in. */
export function* subgraphsOf(n: Node): Generator<{ readonly attribute: string; readonly graph: Graph }> {
  for (const [attribute, a] of n.attributes) for (const graph of graphsOf(a)) yield { attribute, graph };
}

/** Maps the graphs inside a node's attributes; the same node when none changed. */
export function mapSubgraphs(n: Node, map: (g: Graph) => Graph): Node {
  let mapped = n;
  for (const [name, a] of n.attributes) {
    const before = graphsOf(a);
    const after = sameList(before, before.map(map));
    if (after === before) continue;
    const attribute = { ...a, value: a.type === "graph" ? after[0] : after } as Attribute;
    mapped = { ...mapped, attributes: new Map(mapped.attributes).set(name, attribute) };
  }
  return mapped;
}
