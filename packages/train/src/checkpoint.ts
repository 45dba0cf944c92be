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

/** Where a run of training is, and all that it needs to go on as if it had not stopped. */
export interface Checkpoint {
  /** Steps that were made. */
  readonly step: number;
  readonly epoch: number;
  /** Batches of the epoch that were used. */
  readonly batch: number;
  /** What the step is made of: a state fits no other. */
  readonly of: string;
  readonly state: ReadonlyMap<string, ResidentTensor>;
}

const VERSION = 1;
const PREFIX = 8;

/** Keeps a checkpoint whole or not at all. */
export async function putCheckpoint(store: Store, key: string, c: Checkpoint, signal?: AbortSignal): Promise<void> {
  const { state, ...rest } = c;
  const entries = [...state].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const header = new TextEncoder().encode(JSON.stringify({ version: VERSION, ...rest, entries }));
  const length = new Uint8Array(PREFIX);
  new DataView(length.buffer).setUint32(0, header.byteLength, true);
  await store.put(key, [length, header, ...[...state.values()].map((t) => t.bytes)], signal);
}

/**
 * The checkpoint under a key, if there is one.
 * @throws PareError `train/checkpoint` when it is damaged, of another version, or of another step than `of`
 */
export async function getCheckpoint(
  store: Store,
  key: string,
  of: string,
  signal?: AbortSignal,
): Promise<Checkpoint | undefined> {
  const source = await store.get(key, signal);
  if (!source) return undefined;
  try {
    const read = async (offset: number, size: number) => {
      if (offset + size > source.byteLength) throw damaged("it ends too early");
      return source.read({ offset, length: size }, signal);
    };
    const prefix = await read(0, PREFIX);
    const size = new DataView(prefix.buffer, prefix.byteOffset).getUint32(0, true);
    const header = parse(await read(PREFIX, size));
    if (header.of !== of)
      throw failure(
        "train/checkpoint",
        "the checkpoint is of another training: model, loss, optimizer or batch differ",
        {
          hint: "Give another key, or remove it.",
        },
      );
    const state = new Map<string, ResidentTensor>();
    let at = PREFIX + size;
    for (const { name, dtype, shape } of header.entries) {
      const length = byteLengthOf(dtype, elementCount(shape));
      state.set(name, tensor(dtype, shape, (await read(at, length)).slice()));
      at += length;
    }
    return { step: header.step, epoch: header.epoch, batch: header.batch, of, state };
  } finally {
    await source.close();
  }
}

interface Header {
  readonly version: number;
  readonly step: number;
  readonly epoch: number;
  readonly batch: number;
  readonly of: string;
  readonly entries: readonly { readonly name: string; readonly dtype: DType; readonly shape: readonly number[] }[];
}

function parse(bytes: Uint8Array): Header {
  let header: Partial<Header> | undefined;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes)) as Partial<Header>;
  } catch {
    throw damaged("its header is no JSON");
  }
  const { version, entries, step, epoch, batch, of } = header ?? {};
  if (version !== VERSION) throw damaged(`it is of version ${version}`);
  const isCount = (v: unknown) => Number.isSafeInteger(v) && (v as number) >= 0;
  const fine =
    [step, epoch, batch].every(isCount) &&
    typeof of === "string" &&
    Array.isArray(entries) &&
    entries.every(
      (e) => typeof e.name === "string" && e.dtype in dtypeBits && Array.isArray(e.shape) && e.shape.every(isCount),
    );
  if (!fine) throw damaged("its header is not complete");
  return header as Header;
}

const damaged = (why: string) =>
  failure("train/checkpoint", `the checkpoint cannot be read: ${why}`, { hint: "Remove it." });
