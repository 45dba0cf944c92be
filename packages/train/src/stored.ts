import {
  byteLengthOf,
  type DType,
  dtypeBits,
  elementCount,
  failure,
  type ResidentTensor,
  type Store,
  tensor,
} from "@pare/core";

/** Tensors by name with what is said of them. */
export interface Stored {
  /** As JSON. */
  readonly facts: Readonly<Record<string, unknown>>;
  readonly tensors: ReadonlyMap<string, ResidentTensor>;
}

interface Entry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

const VERSION = 1;
const PREFIX = 8;

/** Keeps tensors whole or not at all. */
export async function putTensors(
  store: Store,
  key: string,
  { facts, tensors }: Stored,
  signal?: AbortSignal,
): Promise<void> {
  const entries = [...tensors].map(([name, { dtype, shape }]): Entry => ({ name, dtype, shape }));
  const header = new TextEncoder().encode(JSON.stringify({ version: VERSION, ...facts, entries }));
  const length = new Uint8Array(PREFIX);
  new DataView(length.buffer).setUint32(0, header.byteLength, true);
  await store.put(key, [length, header, ...[...tensors.values()].map((t) => t.bytes)], signal);
}

/**
 * The tensors under a key, if there are some.
 * @param check whether the facts are those that are meant
 * @throws PareError `train/checkpoint` when what is there is damaged or of another version
 */
export async function getTensors(
  store: Store,
  key: string,
  check: (facts: Stored["facts"]) => boolean,
  signal?: AbortSignal,
): Promise<Stored | undefined> {
  const source = await store.get(key, signal);
  if (!source) return undefined;
  try {
    const read = async (offset: number, size: number) => {
      if (offset + size > source.byteLength) throw damaged("it ends too early");
      return source.read({ offset, length: size }, signal);
    };
    const prefix = await read(0, PREFIX);
    const size = new DataView(prefix.buffer, prefix.byteOffset).getUint32(0, true);
    const { entries, ...facts } = parse(await read(PREFIX, size));
    if (!check(facts)) throw damaged("its header is not complete");
    const tensors = new Map<string, ResidentTensor>();
    let at = PREFIX + size;
    for (const { name, dtype, shape } of entries) {
      const length = byteLengthOf(dtype, elementCount(shape));
      tensors.set(name, tensor(dtype, shape, (await read(at, length)).slice()));
      at += length;
    }
    return { facts, tensors };
  } finally {
    await source.close();
  }
}

export const isCount = (v: unknown): v is number => Number.isSafeInteger(v) && (v as number) >= 0;

function parse(bytes: Uint8Array): { readonly entries: readonly Entry[] } & Stored["facts"] {
  let header: { readonly version?: unknown; readonly entries?: unknown } | undefined;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw damaged("its header is no JSON");
  }
  const { version, entries } = header ?? {};
  if (version !== VERSION) throw damaged(`it is of version ${version}`);
  const fine =
    Array.isArray(entries) &&
    entries.every(
      (e) => typeof e.name === "string" && e.dtype in dtypeBits && Array.isArray(e.shape) && e.shape.every(isCount),
    );
  if (!fine) throw damaged("its header is not complete");
  return header as { readonly entries: readonly Entry[] };
}

const damaged = (why: string) =>
  failure("train/checkpoint", `the checkpoint cannot be read: ${why}`, { hint: "Remove it." });
