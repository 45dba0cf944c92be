import {
  type ByteSource,
  CHUNK_BYTES,
  type DType,
  elementCount,
  type GraphView,
  isFloat,
  type Model,
  type Tensor,
  viewOf,
} from "@pare/core";
import { operatorName, weightRole } from "@pare/ops/weights";

/** One constant of a model and the bytes it takes. */
export interface TensorSize {
  /** Name, after the path of its graph. */
  readonly name: string;
  /** The operator it works in, through nodes that decode or move it; otherwise the first that reads it. */
  readonly op: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly elements: number;
  readonly byteLength: number;
}

/** A part of a total. */
export interface Share {
  readonly name: string;
  readonly tensors: number;
  readonly elements: number;
  readonly byteLength: number;
}

/** Where the bytes of a model are. Tensors that share their content (`key`) count each time: files hold each. */
export interface SizeReport {
  readonly byteLength: number;
  /** Elements of all constants of a floating or encoded type that are no shapes or indices. */
  readonly parameters: number;
  /** Largest first. */
  readonly tensors: readonly TensorSize[];
  readonly byOperator: readonly Share[];
  readonly byDtype: readonly Share[];
}

/** Where the bytes of a model's constants are, wherever they stand. Nothing is read. */
export function sizeOf(model: Model): SizeReport {
  const tensors: TensorSize[] = [];
  for (const view of viewOf(model).graphs) {
    const add = (name: string, t: Tensor, op: string) =>
      tensors.push({
        name: view.path ? `${view.path}/${name}` : name,
        op,
        dtype: t.dtype,
        shape: t.shape,
        elements: elementCount(t.shape),
        byteLength: t.byteLength,
      });
    for (const [name, t] of view.graph.weights) add(name, t, readerOf(view, name, t));
    for (const [name, s] of view.graph.sparseWeights) {
      add(name, s.values, readerOf(view, name, s.values));
      add(`${name} indices`, s.indices, "sparse");
    }
    for (const n of view.graph.nodes)
      for (const a of n.attributes.values()) {
        const held = a.type === "tensor" ? [a.value] : a.type === "tensors" ? a.value : [];
        for (const t of held) {
          const name = n.outputs[0] ?? n.name;
          add(name, t, n.op === "Constant" ? readerOf(view, name, t) : operatorName(n));
        }
      }
  }
  tensors.sort((a, b) => b.byteLength - a.byteLength);
  return {
    byteLength: sum(tensors, (t) => t.byteLength),
    parameters: sum(tensors, (t) => (isParameter(t) ? t.elements : 0)),
    tensors,
    byOperator: shares(tensors, (t) => t.op),
    byDtype: shares(tensors, (t) => t.dtype),
  };
}

/** Integers of 32 and 64 bits are shapes, axes and indices unless an operator decodes them. */
const isParameter = (t: TensorSize): boolean =>
  isFloat(t.dtype) ||
  t.dtype.startsWith("complex") ||
  (/^u?int(2|4|8|16|32)$/.test(t.dtype) && t.elements > 1 && t.op !== "");

function readerOf(view: GraphView, name: string, t: Tensor): string {
  const uses = view.uses(name);
  const role = weightRole(uses, t.shape.length);
  if (role) return operatorName(role.op);
  return uses[0] ? operatorName(uses[0].node) : "";
}

const sum = <T>(list: readonly T[], of: (item: T) => number): number => list.reduce((n, item) => n + of(item), 0);

function shares(tensors: readonly TensorSize[], keyOf: (t: TensorSize) => string): Share[] {
  const groups = new Map<string, TensorSize[]>();
  for (const t of tensors) {
    const key = keyOf(t) || "unused";
    const group = groups.get(key);
    if (group) group.push(t);
    else groups.set(key, [t]);
  }
  return [...groups]
    .map(([name, list]) => ({
      name,
      tensors: list.length,
      elements: sum(list, (t) => t.elements),
      byteLength: sum(list, (t) => t.byteLength),
    }))
    .sort((a, b) => b.byteLength - a.byteLength);
}

/** Bytes that gzip (RFC 1952) makes of the sources, each compressed on its own: about what a download takes. Streams. */
export async function gzipSize(sources: readonly ByteSource[], signal?: AbortSignal): Promise<number> {
  let total = 0;
  for (const source of sources) {
    let offset = 0;
    const bytes = new ReadableStream<Uint8Array<ArrayBuffer>>({
      async pull(controller) {
        signal?.throwIfAborted();
        if (offset >= source.byteLength) return controller.close();
        const length = Math.min(CHUNK_BYTES, source.byteLength - offset);
        controller.enqueue((await source.read({ offset, length }, signal)) as Uint8Array<ArrayBuffer>);
        offset += length;
      },
    });
    const reader = bytes.pipeThrough(new CompressionStream("gzip")).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) total += part.value.byteLength;
  }
  return total;
}
