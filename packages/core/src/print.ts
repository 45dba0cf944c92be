import { elementCount } from "./dtype.ts";
import {
  type Attribute,
  type Graph,
  type Model,
  type Node,
  operatorOf,
  type SparseTensor,
  type ValueInfo,
  type ValueType,
} from "./model.ts";
import { formatType, numbersOf, type ResidentTensor, type Tensor } from "./tensor.ts";
import { functionPath } from "./view.ts";

export interface PrintOptions {
  /** Tensors up to this many elements are printed with their values; larger ones, and strings, as `…`. Default 8. */
  readonly elements?: number;
}

/**
 * A model as text, one line for each node; `parse` of `@pare/core/parse` reads it back as far as values are printed.
 * @example
 * <"": 27>
 * main (x: float32[N,4]) => (y: float32[N,2]) {
 *   w: float32[4,2] = …
 *   h = MatMul(x, w) # dense
 *   y = Softmax<axis=-1>(h)
 * }
 */
export const print = (m: Model, { elements = 8 }: PrintOptions = {}): string =>
  [part(m, m.graph, elements), ...m.functions.map((f) => `${functionPath(f)} ${part(f, f.body, elements)}`)].join(
    "\n\n",
  );

const part = ({ opsets }: Pick<Model, "opsets">, g: Graph, most: number) =>
  `<${list(Array.from(opsets, ([domain, version]) => `${quote(domain)}: ${version}`))}>\n${graphText(g, most)}`;

function graphText(g: Graph, most: number): string {
  const lines = [
    `${id(g.name || "main")} (${list(g.inputs.map(infoText))}) => (${list(g.outputs.map(infoText))}) {`,
    ...Array.from(g.weights, ([name, t]) => `${id(name)}: ${formatType(t)} = ${contents(t, most)}`),
    ...Array.from(g.sparseWeights, ([name, s]) => `${id(name)} = ${sparseText(s, most)}`),
    ...g.nodes.map((n) => nodeText(n, most)),
  ];
  return `${lines.join("\n").replaceAll("\n", "\n  ")}\n}`;
}

function nodeText(n: Node, most: number): string {
  const attributes = list(Array.from(n.attributes, ([name, a]) => `${id(name)}=${attributeText(a, most)}`));
  const call = `${id(operatorOf(n))}${attributes && `<${attributes}>`}(${list(n.inputs.map(id))})`;
  return `${list(n.outputs.map(id))} = ${call}${n.name && ` # ${n.name.replace(/\s+/g, " ")}`}`;
}

function attributeText(a: Attribute, most: number): string {
  switch (a.type) {
    case "ref":
      return `@${a.of} ${a.name}`;
    case "int":
      return `${a.value}`;
    case "float":
      return `${a.value}`.replace(/^-?\d+$/, "$&.0");
    case "string":
      return typeof a.value === "string" ? quote(a.value) : `bytes[${a.value}]`;
    case "tensor":
      return tensorText(a.value, most);
    case "sparse":
      return sparseText(a.value, most);
    case "type":
      return typeText(a.value);
    case "graph":
      return graphText(a.value, most);
    default: {
      const type = a.type.slice(0, -1);
      const items = a.value.map((value) => attributeText({ type, value } as Attribute, most));
      return `${items.length > 0 || type === "int" ? "" : a.type}[${list(items)}]`;
    }
  }
}

const contents = (t: Tensor, most: number) =>
  t.bytes && t.dtype !== "string" && elementCount(t.shape) <= most ? `{${list(numbersOf(t as ResidentTensor))}}` : "…";
const tensorText = (t: Tensor, most: number) => formatType(t) + contents(t, most);
const sparseText = (s: SparseTensor, most: number) =>
  `sparse[${s.shape}] ${tensorText(s.values, most)} at ${tensorText(s.indices, most)}`;

const list = (parts: readonly unknown[]) => parts.join(", ");
const quote = (text: string) => JSON.stringify(text);
const id = (name: string) => (/^[\w./]+(::[\w./]+)*$/.test(name) ? name : quote(name));
const infoText = ({ name, type }: ValueInfo) => id(name) + (type ? `: ${typeText(type)}` : "");

function typeText(t?: ValueType): string {
  if (!t) return "?";
  switch (t.kind) {
    case "tensor":
      return t.dtype + (t.shape ? `[${t.shape.map((d) => d ?? "?")}]` : "");
    case "sparse":
      return `sparse(${typeText({ ...t, kind: "tensor" })})`;
    case "map":
      return `map(${t.key}, ${typeText(t.value)})`;
    case "opaque":
      return `opaque(${t.domain}.${t.name})`;
    default:
      return `${t.kind}(${typeText(t.element)})`;
  }
}
