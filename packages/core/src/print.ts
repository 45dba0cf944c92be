import { type DType, dtypeBits, elementCount, storageView } from "./dtype.ts";
import {
  type Attribute,
  type Dim,
  type Graph,
  type Model,
  operatorOf,
  type SparseTensor,
  type ValueInfo,
  type ValueType,
} from "./model.ts";
import type { Tensor } from "./tensor.ts";
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
      ? `{${list(numbers(t.dtype, t.bytes, t.shape))}}`
      : "…";
  const typed = (t: Tensor) => typeText({ kind: "tensor", ...t }) + contents(t);
  const sparse = (s: SparseTensor) => `sparse[${s.shape}] ${typed(s.values)} at ${typed(s.indices)}`;

  const attribute = (a: Attribute, indent: string): string => {
    switch (a.type) {
      case "ref":
        return `@${a.of} ${a.name}`;
      case "float":
        return Number.isInteger(a.value) && Math.abs(a.value) < 1e21 ? `${a.value}.0` : `${a.value}`;
      case "int":
        return `${a.value}`;
      case "string":
        return typeof a.value === "string"
          ? quote(a.value)
          : `bytes"${Array.from(a.value, (b) => b.toString(16).padStart(2, "0")).join("")}"`;
      case "tensor":
        return typed(a.value);
      case "graph":
        return body(a.value, indent);
      case "sparse":
        return sparse(a.value);
      case "type":
        return typeText(a.value);
      default: {
        const type = a.type.slice(0, -1);
        const items = a.value.map((value) => attribute({ type, value } as Attribute, indent));
        return `${items.length > 0 || type === "int" ? "" : a.type}[${list(items)}]`;
      }
    }
  };
  const body = (g: Graph, indent: string): string => {
    const inner = `${indent}  `;
    const lines = [
      ...[...g.weights].map(([name, t]) => `${id(name)}: ${typeText({ kind: "tensor", ...t })} = ${contents(t)}`),
      ...[...g.sparseWeights].map(([name, s]) => `${id(name)} = ${sparse(s)}`),
      ...g.nodes.map((n) => {
        const attributes = list([...n.attributes].map(([k, a]) => `${id(k)}=${attribute(a, inner)}`));
        const call = `${id(operatorOf(n))}${attributes && `<${attributes}>`}(${list(n.inputs.map(id))})`;
        return `${list(n.outputs.map(id))} = ${call}${n.name && ` # ${n.name.replace(/\s+/g, " ")}`}`;
      }),
    ];
    const head = `${id(g.name || "main")} (${list(g.inputs.map(infoText))}) => (${list(g.outputs.map(infoText))})`;
    return `${head} {\n${lines.map((line) => `${inner}${line}\n`).join("")}${indent}}`;
  };
  const part = (versions: ReadonlyMap<string, number>, g: Graph) =>
    `<${list(Array.from(versions, ([d, v]) => `${quote(d)}: ${v}`))}>\n${body(g, "")}`;
  return [part(m.opsets, m.graph), ...m.functions.map((f) => `${functionPath(f)} ${part(f.opsets, f.body)}`)].join(
    "\n\n",
  );
}

const list = (parts: readonly unknown[]) => parts.join(", ");
const quote = (text: string) => JSON.stringify(text);
const id = (name: string) => (/^[\w./]+(::[\w./]+)*$/.test(name) ? name : quote(name));
const infoText = ({ name, type }: ValueInfo) => id(name) + (type ? `: ${typeText(type)}` : "");
const dims = (shape: readonly Dim[]) => `[${shape.map((d) => d ?? "?")}]`;

function typeText(t: ValueType | undefined): string {
  if (!t) return "?";
  switch (t.kind) {
    case "tensor":
      return t.dtype + (t.shape ? dims(t.shape) : "");
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

function numbers(dtype: DType, bytes: Uint8Array, shape: readonly number[]): unknown[] {
  const bits = dtypeBits[dtype];
  const data = storageView(dtype, bytes);
  if (bits >= 8) return Array.from(data as Uint8Array);
  return Array.from({ length: elementCount(shape) }, (_, i) => {
    const at = i * bits;
    return (Number(data[at >> 3]) >> (at & 7)) & ((1 << bits) - 1);
  });
}
