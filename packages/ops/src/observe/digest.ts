import { chunksOf, type Model, type Samples, type Tensor } from "@pare/core";

/** Digests of tensors that were read once; tensors do not change. */
const known = new WeakMap<Tensor, string>();

/**
 * Names the content of a model: equal for models that compute the same by the same names, however and wherever they are
 * stored. Reads all weights. Metadata and what formats keep beside the model do not count.
 */
export async function modelDigest({ metadata: _, ...model }: Model, signal?: AbortSignal): Promise<string> {
  const digest = digester();
  await addValue(digest, model, signal);
  return digest.end();
}

/** Names the content of samples, and counts them. Reads them all. */
export async function samplesDigest(
  samples: Samples,
  signal?: AbortSignal,
): Promise<{ readonly digest: string; readonly count: number }> {
  const digest = digester();
  let count = 0;
  for await (const sample of samples.open(signal)) {
    await addValue(digest, sample, signal);
    count++;
  }
  return { digest: await digest.end(), count };
}

interface Digester {
  add(bytes: Uint8Array): Promise<void>;
  text(text: string): Promise<void>;
  end(): Promise<string>;
}

const HELD = 1 << 16;

/** SHA-256 over SHA-256 of pieces: the platform has no digest that takes its input bit by bit. */
function digester(): Digester {
  let state: Uint8Array = new Uint8Array(32);
  let [held, length]: [string[], number] = [[], 0];
  const hash = async (bytes: Uint8Array) =>
    new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));
  const add = async (bytes: Uint8Array) => {
    const part = await hash(bytes);
    const both = new Uint8Array(64);
    both.set(state);
    both.set(part, 32);
    state = await hash(both);
  };
  const flush = async () => {
    if (held.length > 0) await add(new TextEncoder().encode(held.join("")));
    [held, length] = [[], 0];
  };
  return {
    async add(bytes) {
      await flush();
      await add(bytes);
    },
    async text(text) {
      held.push(text);
      length += text.length;
      if (length > HELD) await flush();
    },
    async end() {
      await flush();
      return Array.from(state, (b) => b.toString(16).padStart(2, "0")).join("");
    },
  };
}

/** Plain data, maps and tensors, each so that no two different ones give the same text. */
async function addValue(d: Digester, value: unknown, signal?: AbortSignal): Promise<void> {
  if (isTensor(value)) return d.text(`tensor ${value.dtype}[${value.shape}] ${await tensorDigest(value, signal)};`);
  if (value instanceof Map) {
    await d.text(`map ${value.size}{`);
    for (const [key, item] of value) {
      await d.text(`${JSON.stringify(key)}:`);
      await addValue(d, item, signal);
    }
    return d.text("}");
  }
  if (ArrayBuffer.isView(value)) return d.text(`bytes ${value};`);
  if (Array.isArray(value)) {
    await d.text(`list ${value.length}[`);
    for (const item of value) await addValue(d, item, signal);
    return d.text("]");
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).filter(([key, item]) => key !== "extra" && item !== undefined);
    await d.text(`object ${entries.length}{`);
    for (const [key, item] of entries.sort(([a], [b]) => (a < b ? -1 : 1))) {
      await d.text(`${JSON.stringify(key)}:`);
      await addValue(d, item, signal);
    }
    return d.text("}");
  }
  if (typeof value === "string") return d.text(`${JSON.stringify(value)};`);
  return d.text(`${typeof value} ${Object.is(value, -0) ? "-0" : value};`);
}

const isTensor = (value: unknown): value is Tensor =>
  typeof value === "object" && value !== null && "dtype" in value && "shape" in value && "read" in value;

async function tensorDigest(t: Tensor, signal?: AbortSignal): Promise<string> {
  const before = known.get(t);
  if (before !== undefined) return before;
  const digest = digester();
  for await (const chunk of chunksOf(t, signal)) await digest.add(chunk);
  const found = await digest.end();
  known.set(t, found);
  return found;
}
