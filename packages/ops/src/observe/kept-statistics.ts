import { type DType, type ResidentTensor, type Statistics, type Store, tensor } from "@pare/core";

/** Statistics in a store, and how many samples they are of where not all had passed. */
export interface KeptStatistics {
  /** Every statistic that was asked for: those that cannot be computed are not among the results. */
  readonly asked: readonly string[];
  readonly samples: number;
  readonly statistics: Statistics;
}

interface Head {
  readonly asked: readonly string[];
  readonly samples: number;
  readonly tensors: readonly { readonly key: string; readonly dtype: DType; readonly shape: readonly number[] }[];
}

export async function readKept(store: Store, key: string, signal?: AbortSignal): Promise<KeptStatistics | undefined> {
  const source = await store.get(key, signal);
  if (!source) return undefined;
  try {
    const bytes = await source.read({ offset: 0, length: source.byteLength }, signal);
    const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length))) as Head;
    let at = 4 + length;
    const statistics = new Map<string, ResidentTensor>();
    for (const { key, dtype, shape } of head.tensors) {
      const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
      statistics.set(key, tensor(dtype, shape, bytes.slice(at + 4, at + 4 + size)));
      at += 4 + size;
    }
    return { asked: head.asked, samples: head.samples, statistics };
  } finally {
    await source.close();
  }
}

export function writeKept(store: Store, key: string, kept: KeptStatistics, signal?: AbortSignal): Promise<void> {
  const tensors = Array.from(kept.statistics, ([key, { dtype, shape }]) => ({ key, dtype, shape }));
  const head: Head = { asked: kept.asked, samples: kept.samples, tensors };
  const text = new TextEncoder().encode(JSON.stringify(head));
  const size = (n: number) => new Uint8Array(Uint32Array.of(n).buffer);
  const parts = [...kept.statistics.values()].flatMap(({ bytes }) => [size(bytes.byteLength), bytes]);
  return store.put(key, [size(text.length), text, ...parts], signal);
}
