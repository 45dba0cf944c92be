import { elementCount } from "./dtype.ts";
import {
  type Attribute,
  type Graph,
  type Model,
  operatorOf,
  type SparseTensor,
  type ValueInfo,
  type ValueType,
} from "./model.ts";
import { formatType, numbersOf, type Tensor } from "./tensor.ts";
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
export function print(m: Model, { elements = 8 }: PrintOptions = {}): string {
  const contents = (t: Tensor) =>
    t.bytes && t.dtype !== "string" && elementCount(t.shape) <= elements
      ? `{${list(numbersOf(t.dtype, t.bytes, elementCount(t.shape)))}}`
      : "…";
  const typed = (t: Tensor) => formatType(t) + contents(t);
  const sparse = (s: SparseTensor) => `sparse[${s.shape}] ${typed(s.values)} at ${typed(s.indices)}`;

  const attribute = (a: Attribute): string => {
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
        return typed(a.value);
      case "sparse":
        return sparse(a.value);
      case "type":
        return typeText(a.value);
      case "graph":
        return body(a.value);
      default: {
        const type = a.type.slice(0, -1);
        const items = a.value.map((value) => attribute({ type, value } as Attribute));
        return `${items.length > 0 || type === "int" ? "" : a.type}[${list(items)}]`;
      }
    }
  };
  const body = (g: Graph): string => {
    const lines = [
      `${id(g.name || "main")} (${list(g.inputs.map(infoText))}) => (${list(g.outputs.map(infoText))}) {`,
      ...Array.from(g.weights, ([name, t]) => `${id(name)}: ${formatType(t)} = ${contents(t)}`),
      ...Array.from(g.sparseWeights, ([name, s]) => `${id(name)} = ${sparse(s)}`),
      ...g.nodes.map((n) => {
        const attributes = list(Array.from(n.attributes, ([name, a]) => `${id(name)}=${attribute(a)}`));
        const call = `${id(operatorOf(n))}${attributes && `<${attributes}>`}(${list(n.inputs.map(id))})`;
        return `${list(n.outputs.map(id))} = ${call}${n.name && ` # ${n.name.replace(/\s+/g, " ")}`}`;
      }),
    ];
    return `${lines.join("\n").replaceAll("\n", "\n  ")}\n}`;
  };
  const part = (title: string, { opsets }: Pick<Model, "opsets">, g: Graph) =>
    `${title}<${list(Array.from(opsets, ([domain, version]) => `${quote(domain)}: ${version}`))}>\n${body(g)}`;
  return [part("", m, m.graph), ...m.functions.map((f) => part(`${functionPath(f)} `, f, f.body))].join("\n\n");
}

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
