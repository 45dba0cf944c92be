import { isPareError, resident, viewOf } from "@pare/core";
import { print } from "@pare/core/print";
import { memorySink } from "@pare/io";
import { byteMutations, drawFrom } from "@pare/testing";
import { describe, expect, test } from "vitest";
import { readDocument } from "./document.ts";
import { openOnnx, writeOnnx } from "./open.ts";
import { bytesOfMessage, fileLike, richDocument, sameBytes } from "./test/fixtures.ts";

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
  for (const [name, mutate] of Object.entries(byteMutations))
    test(name, async () => {
      const whole = await bytesOfMessage("ModelProto", richDocument());
      const count = { refused: 0, document: 0, model: 0 };
      for (let seed = 0; seed < 150; seed++) count[await judge(mutate(whole, drawFrom(seed + 1)))]++;
      // Neither all nor none: otherwise nothing was tested.
      expect(count.refused).toBeGreaterThan(10);
      if (name === "flip" || name === "byte") expect(count.model).toBeGreaterThan(10);
    });
});
