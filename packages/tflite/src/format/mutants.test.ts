import { isPareError, memorySource, resident, verify } from "@pare/core";
import { print } from "@pare/core/print";
import { byteMutations, drawFrom, type Mutation } from "@pare/testing";
import { beforeAll, describe, expect, test } from "vitest";
import { richBytes } from "../test/fixtures.ts";
import { modelBytes, readModel } from "./files.ts";
import { toCore } from "./to-core.ts";

const mutations: Record<string, Mutation> = {
  ...byteMutations,
  word(bytes, draw) {
    const out = bytes.slice();
    const at = 4 * draw(Math.floor(out.length / 4) - 1);
    const words = [0, 1, 4, 0x7fffffff, 0x80000000, 0xffffffff, out.length];
    new DataView(out.buffer).setUint32(at, words[draw(words.length)]!, true);
    return out;
  },
  move(bytes, draw) {
    const at = 4 * draw(Math.floor(bytes.length / 4));
    return Uint8Array.from([...bytes.slice(0, at), ...new Uint8Array(4 * (1 + draw(4))), ...bytes.slice(at)]);
  },
};

let bytes: Uint8Array;
beforeAll(async () => {
  bytes = await richBytes();
});

/** Everything about a mutant: an error of ours, or a model that comes back as it is. */
async function judge(mutant: Uint8Array): Promise<"refused" | "model"> {
  try {
    const model = await readModel(memorySource(mutant, "mutant"));
    const written = await modelBytes(model);
    const again = await modelBytes(await readModel(memorySource(written, "again")));
    expect(Buffer.from(again).equals(Buffer.from(written))).toBe(true);
    const core = toCore(model);
    verify(core);
    print(core);
    for (const weight of core.graph.weights.values()) await resident(weight);
    return "model";
  } catch (error) {
    if (!isPareError(error)) throw error;
    expect(error.diagnostics.length).toBeGreaterThan(0);
    return "refused";
  }
}

describe.each(Object.keys(mutations))("%s", (name) => {
  test("500 damaged files are refused, or are models", { timeout: 60_000 }, async () => {
    const found = { refused: 0, model: 0 };
    for (let seed = 0; seed < 500; seed++) found[await judge(mutations[name]!(bytes, drawFrom(seed)))]++;
    expect(found.refused).toBeGreaterThan(0);
  });
});
