import { type DType, dtypeBits, storageView } from "./dtype.ts";
import type { Attribute, Dim, Graph, Model, SparseTensor, ValueInfo, ValueType } from "./model.ts";
import { type ResidentTensor, stringsOf, type Tensor } from "./tensor.ts";
import { functionPath } from "./view.ts";

export interface PrintOptions {
  /** Tensors up to this many elements are printed with their values; larger ones as `…`. Default 8. */
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
  const tensorText = (t: Tensor) => {
    const count = t.shape.reduce((n, d) => n * d, 1);
    return t.bytes && count <= elements && !t.dtype.startsWith("complex")
      ? `{${numbers(t as ResidentTensor, count)}}`
      : "…";
  };
  const sparseText = (s: SparseTensor) => `sparse[${s.shape}] ${typed(s.values)} at ${typed(s.indices)}`;
  const typed = (t: Tensor) => `${t.dtype}[${t.shape}]${tensorText(t)}`;

  const scalar = (type: string, v: unknown, indent: string): string => {
    switch (type) {
      case "float":
        return float(v as number);
      case "string":
        return v instanceof Uint8Array
          ? `bytes"${[...v].map((b) => b.toString(16).padStart(2, "0")).join("")}"`
          : JSON.stringify(v);
      case "tensor":
        return typed(v as Tensor);
      case "graph":
        return graphText(v as Graph, indent);
      case "sparse":
        return sparseText(v as SparseTensor);
      case "type":
        return typeText(v as ValueType);
      default:
        return String(v);
    }
  };
  const attributeText = (a: Attribute, indent: string): string => {
    if (a.type === "ref") return `@${a.of} ${a.name}`;
    if (!Array.isArray(a.value)) return scalar(a.type, a.value, indent);
    const list = a.value.map((v) => scalar(a.type.slice(0, -1), v, indent)).join(", ");
    return list || a.type === "ints" ? `[${list}]` : `${a.type}[]`;
  };
  const graphText = (g: Graph, indent: string): string => {
    const inner = `${indent}  `;
    const lines: string[] = [];
    for (const [name, t] of g.weights) lines.push(`${id(name)}: ${t.dtype}[${t.shape}] = ${tensorText(t)}`);
    for (const [name, s] of g.sparseWeights) lines.push(`${id(name)} = ${sparseText(s)}`);
    for (const n of g.nodes) {
      const attributes = [...n.attributes].map(([k, a]) => `${id(k)}=${attributeText(a, inner)}`).join(", ");
      const op = id(n.domain === "" ? n.op : `${n.domain}.${n.op}`);
      const name = n.name && ` # ${n.name.replace(/\s+/g, " ")}`;
      lines.push(
        `${list(n.outputs.map(id))} = ${op}${attributes && `<${attributes}>`}(${list(n.inputs.map(id))})${name}`,
      );
    }
    const body = lines.map((line) => `${inner}${line}\n`).join("");
    return `${id(g.name || "main")} (${list(g.inputs.map(infoText))}) => (${list(g.outputs.map(infoText))}) {\n${body}${indent}}`;
  };
  const opsets = (versions: ReadonlyMap<string, number>) =>
    `<${list([...versions].map(([d, v]) => `${JSON.stringify(d)}: ${v}`))}>`;
  const functions = m.functions.map((f) => `\n${functionPath(f)} ${opsets(f.opsets)} ${graphText(f.body, "")}`);
  return [opsets(m.opsets), graphText(m.graph, ""), ...functions].join("\n");
}

const list = (parts: readonly string[]) => parts.join(", ");
const id = (name: string) => (/^[\w./]+(::[\w./]+)*$/.test(name) ? name : JSON.stringify(name));
const float = (v: number) => (Number.isInteger(v) && Math.abs(v) < 1e21 ? `${v}.0` : String(v));
const dim = (d: Dim) => (d === null ? "?" : String(d));

function infoText({ name, type }: ValueInfo): string {
  return type ? `${id(name)}: ${typeText(type)}` : id(name);
}

function typeText(t: ValueType): string {
  switch (t.kind) {
    case "tensor":
      return t.dtype + (t.shape ? `[${t.shape.map(dim)}]` : "");
    case "sparse":
      return `sparse(${t.dtype}${t.shape ? `[${t.shape.map(dim)}]` : ""})`;
    case "map":
      return `map(${t.key}, ${t.value ? typeText(t.value) : "?"})`;
    case "opaque":
      return `opaque(${t.domain}.${t.name})`;
    default:
      return `${t.kind}(${t.element ? typeText(t.element) : "?"})`;
  }
}

function numbers(t: ResidentTensor, count: number): string {
  if (t.dtype === "string")
    return list(stringsOf(t as ResidentTensor<"string">).map((s) => JSON.stringify(new TextDecoder().decode(s))));
  const bits = dtypeBits[t.dtype as DType];
  const data = storageView(t.dtype, t.bytes);
  const at = (i: number) =>
    bits < 8 ? (Number(data[Math.floor((i * bits) / 8)]) >> ((i * bits) % 8)) & ((1 << bits) - 1) : data[i];
  return list(Array.from({ length: count }, (_, i) => String(at(i))));
}
