/** The value under a key, made by `make` when it is first asked for. */
export function recall<K, V>(
  memory: { get(key: K): V | undefined; set(key: K, value: V): unknown },
  key: K,
  make: (key: K) => V,
): V {
  let found = memory.get(key);
  if (found === undefined) memory.set(key, (found = make(key)));
  return found;
}

/** Appends to the list under a key. */
export const push = <K, V>(lists: Map<K, V[]>, key: K, item: V): void =>
  void recall(lists, key, (): V[] => []).push(item);

/** A value that is made when it is first asked for. */
export function once<V>(make: () => V): () => V {
  let made: V | undefined;
  return () => (made ??= make());
}
