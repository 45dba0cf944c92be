import type { Store } from "@pare/core";

/** Gives what was kept under a name, or what is computed and then kept; results are JSON. */
export type Keeping = <T>(name: string, compute: () => Promise<T>) => Promise<T>;

/** Version of what is kept and how a search measures: another one finds nothing of this. */
const VERSION = 1;

/** Keeps results of a search under all that they depend on, so that one that was killed goes on where it was. */
export const keeping =
  (store: Store, about: readonly unknown[], signal?: AbortSignal): Keeping =>
  async <T>(name: string, compute: () => Promise<T>): Promise<T> => {
    const key = `pare search\n${VERSION}\n${await digest(JSON.stringify([...about, name]))}`;
    const source = await store.get(key, signal);
    if (source) {
      try {
        const bytes = await source.read({ offset: 0, length: source.byteLength }, signal);
        return JSON.parse(new TextDecoder().decode(bytes)) as T;
      } finally {
        await source.close();
      }
    }
    const made = await compute();
    await store.put(key, [new TextEncoder().encode(JSON.stringify(made))], signal);
    return made;
  };

async function digest(text: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(hash), (b) => b.toString(16).padStart(2, "0")).join("");
}
