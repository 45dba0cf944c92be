import { failure, type Samples, type Store, type Values } from "@pare/core";
import { contentOf } from "./content.ts";
import { expectThat, type Law, law, rejectionOf } from "./law.ts";
import { singleWeightModel } from "./models.ts";

/** The laws of a store; `open` gives an empty one. */
export function storeLaws(
  name: string,
  open: () => Store | Promise<Store>,
  skip: Readonly<Record<string, string>> = {},
): Law[] {
  const rule = (what: string, check: (store: Store) => Promise<void>) =>
    law(`${name}: ${what}`, async () => check(await open()), skip[what]);
  const bytes = (...values: number[]) => Uint8Array.from(values);
  const contents = async (store: Store, key: string) => {
    const source = await store.get(key);
    if (!source) return undefined;
    const all = Array.from(await source.read({ offset: 0, length: source.byteLength }));
    await source.close();
    return `${all}`;
  };
  return [
    rule("gives back what was put, under any key", async (store) => {
      const keys = ["a", "a|b@1:0.1", "../up", "/etc/x", "ä ö", "A", "x".repeat(600), "con", ""];
      expectThat((await store.get("a")) === undefined, "store", "an empty store has something");
      for (const [i, key] of keys.entries()) await store.put(key, [bytes(i), bytes(i, i + 1)]);
      for (const [i, key] of keys.entries()) {
        const found = await contents(store, key);
        expectThat(found === `${i},${i},${i + 1}`, "store", `under ${JSON.stringify(key.slice(0, 20))} is ${found}`);
      }
    }),
    rule("keeps nothing of what was not put whole", async (store) => {
      await store.put("old", [bytes(1)]);
      async function* breaks() {
        yield bytes(2, 3);
        throw failure("testing/broken", "the source broke");
      }
      for (const key of ["old", "new"])
        await rejectionOf(() => store.put(key, breaks()), "store", "a broken put ended well");
      expectThat((await store.get("new")) === undefined, "store", "a part of a broken put is there");
      expectThat((await contents(store, "old")) === "1", "store", "a broken put damaged what was there before");
    }),
    rule("rejects with the signal's reason when it is aborted before", async (store) => {
      const reason = new Error("aborted before");
      const signal = AbortSignal.abort(reason);
      const put = await rejectionOf(
        () => store.put("a", [bytes(1)], signal),
        "abort-ignored",
        "an aborted put ended well",
      );
      expectThat(
        put === reason && (await store.get("a")) === undefined,
        "abort-reason",
        `put rejected with ${String(put)}`,
      );
      const get = await rejectionOf(() => store.get("a", signal), "abort-ignored", "an aborted get ended well");
      expectThat(get === reason, "abort-reason", `get rejected with ${String(get)}`);
    }),
  ];
}

/** The laws of a source of samples, which must have at least one. */
export function samplesLaws(name: string, samples: Samples, skip: Readonly<Record<string, string>> = {}): Law[] {
  const rule = (what: string, check: () => Promise<void>) => law(`${name}: ${what}`, check, skip[what]);
  const texts = async () => {
    const all: string[] = [];
    for await (const sample of samples.open()) all.push(await textOf(sample));
    return all;
  };
  return [
    rule("gives the same samples in the same order each time", async () => {
      const [a, b] = [await texts(), await texts()];
      expectThat(a.length > 0, "samples", "there is no sample");
      expectThat(a.join("\n") === b.join("\n"), "samples", "the second time gave other samples");
      expectThat(
        samples.count === undefined || samples.count === a.length,
        "samples",
        `count is ${samples.count}, but ${a.length} came`,
      );
      const names = new Set(a.map((text) => text.replace(/=[^;]*/g, "")));
      expectThat(names.size === 1, "samples", "samples have different values");
    }),
    rule("can be left early and opened twice at once", async () => {
      const all = await texts();
      for await (const sample of samples.open()) {
        for await (const other of samples.open()) {
          expectThat(
            (await textOf(sample)) === all[0] && (await textOf(other)) === all[0],
            "samples",
            "two iterations disturb each other",
          );
          break;
        }
        break;
      }
    }),
  ];
}

const textOf = async (sample: Values): Promise<string> =>
  (
    await Promise.all(
      Object.entries(sample).map(async ([name, t]) => `${name}=${await contentOf(singleWeightModel(t))}`),
    )
  ).join(";");
