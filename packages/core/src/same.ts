/** `after`; the very list `before` when nothing in it changed. */
export const sameList = <T>(before: readonly T[], after: readonly T[]): readonly T[] =>
  after.length === before.length && after.every((item, i) => item === before[i]) ? before : after;

/** The list with each item mapped; the same list when none changed. */
export const mapSame = <T>(list: readonly T[], map: (item: T) => T): readonly T[] =>
  list.some((item) => map(item) !== item) ? list.map((item) => map(item)) : list;

/** The object with parts replaced; the same object when all of them are what it has. */
export const update = <T extends object>(base: T, parts: Partial<T>): T => {
  for (const k in parts) if (parts[k] !== base[k]) return { ...base, ...parts };
  return base;
};
