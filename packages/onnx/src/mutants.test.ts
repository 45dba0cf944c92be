import { isPareError, resident, viewOf } from "@pare/core";
import { print } from "@pare/core/print";
import { memorySink } from "@pare/io";
import { describe, expect, test } from "vitest";
import { readDocument } from "./document.ts";
import { openOnnx, writeOnnx } from "./open.ts";
import { bytesOfMessage, fileLike, richDocument, sameBytes } from "./test/fixtures.ts";

/** mulberry32 */
function random(seed: number): (below: number) => number {
  let a = seed;
  return (below) => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

type Mutation = (bytes: Uint8Array, rnd: (below: number) => number) => Uint8Array;
const mutations: Record<string, Mutation> = {
  flip(bytes, rnd) {
    const out = bytes.slice();
    for (let i = 0; i <= rnd(4); i++) out[rnd(out.length)]! ^= 1 << rnd(8);
    return out;
  },
  byte(bytes, rnd) {
    const out = bytes.slice();
    out[rnd(out.length)] = [0, 1, 127, 128, 255][rnd(5)]!;
    return out;
  },
  cut: (bytes, rnd) => bytes.slice(0, rnd(bytes.length)),
  remove(bytes, rnd) {
    const at = rnd(bytes.length);
    return Uint8Array.from([...bytes.slice(0, at), ...bytes.slice(at + 1 + rnd(8))]);
  },
  repeat(bytes, rnd) {
    const at = rnd(bytes.length);
    const until = at + rnd(40);
    return Uint8Array.from([...bytes.slice(0, until), ...bytes.slice(at)]);
  },
  huge(bytes, rnd) {
    const out = bytes.slice();
    const at = rnd(out.length - 10);
    out.set([255, 255, 255, 255, 255, 255, 255, 255, 127].slice(0, 1 + rnd(9)), at);
    return out;
  },
};

/** Everything about a mutant: an error of ours, or a document and a model that come back as they are. */
async function judge(mutant: Uint8Array): Promise<"refused" | "document" | "model"> {
  let outcome: "refused" | "document" | "model" = "refused";
  try {
    const doc = await readDocument(fileLike(mutant));
    const written = await bytesOfMessage("ModelProto", doc);
    const again = await readDocument(fileLike(written));
    expect(again).toEqual(doc);
    expect(sameBytes(await bytesOfMessage("ModelProto", again), written)).toBe(true);
    outcome = "document";
    const source = await openOnnx(mutant, { upgrade: false });
    for (const { graph } of viewOf(source.model).graphs) for (const t of graph.weights.values()) await resident(t);
    const sink = memorySink();
    await writeOnnx(source.model, sink);
    const back = await openOnnx(sink.files.get("model.onnx")!, { upgrade: false });
    expect(print({ ...back.model, opsets: source.model.opsets })).toBe(print(source.model));
    await openOnnx(mutant);
    outcome = "model";
  } catch (error) {
    if (!isPareError(error)) throw error;
    expect(error.diagnostics[0]!.message.length).toBeGreaterThan(10);
  }
  return outcome;
}

describe("mutants give an error that names what and where, or a model that comes back", () => {
  for (const [name, mutate] of Object.entries(mutations))
    test(name, async () => {
      const whole = await bytesOfMessage("ModelProto", richDocument());
      const count = { refused: 0, document: 0, model: 0 };
      for (let seed = 0; seed < 150; seed++) count[await judge(mutate(whole, random(seed + 1)))]++;
      // Neither all nor none: otherwise nothing was tested.
      expect(count.refused).toBeGreaterThan(10);
      if (name === "flip" || name === "byte") expect(count.model).toBeGreaterThan(10);
    });
});
