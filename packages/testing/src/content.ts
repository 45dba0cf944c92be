import { chunksOf, type Model, type Tensor } from "@pare/core";
import { Fingerprint } from "@pare/ops/numeric";

/**
 * All that a model is, as text: two models with the same text are equal in structure and in every byte of their weights,
 * which are read for it, piece by piece. Order of maps and what formats keep beside the IR (`extra`) count too unless
 * `extra` is false.
 */
export async function contentOf(m: Model, { extra = true }: { extra?: boolean } = {}): Promise<string> {
  const digests = new Map<Tensor, string>();
  const collect = (v: unknown): void => {
    if (isTensor(v)) digests.set(v, "");
    else if (v instanceof Map) v.forEach(collect);
    else if (typeof v === "object" && v !== null && !ArrayBuffer.isView(v)) Object.values(v).forEach(collect);
  };
  collect(m);
  for (const t of digests.keys()) digests.set(t, await digest(t));
  return JSON.stringify(m, function replace(key, v: unknown) {
    if (key === "extra" && !extra) return undefined;
    if (isTensor(v)) return `${v.dtype}[${v.shape}] ${digests.get(v)}`;
    if (v instanceof Map) return { map: [...v] };
    if (ArrayBuffer.isView(v)) return { bytes: Array.from(new Uint8Array(v.buffer, v.byteOffset, v.byteLength)) };
    if (typeof v === "bigint") return `${v}n`;
    if (typeof v === "number" && (!Number.isFinite(v) || Object.is(v, -0)))
      return { number: Object.is(v, -0) ? "-0" : String(v) };
    return v;
  });
}

const isTensor = (v: unknown): v is Tensor =>
  typeof v === "object" && v !== null && "dtype" in v && "read" in v && "byteLength" in v;

/** A name of a tensor's bytes. */
async function digest(t: Tensor): Promise<string> {
  const print = new Fingerprint();
  for await (const chunk of chunksOf(t)) print.add(chunk);
  return `${t.byteLength}:${print}`;
}
