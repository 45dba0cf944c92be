import { lazyTensor, type Model } from "@pare/core";
import { buildGraph, exporterLaws, importerLaws } from "@pare/testing";
import { describe, expect, test } from "vitest";
import { onnxExporter } from "./exporter.ts";
import { onnxImporter } from "./importer.ts";
import { writeOnnx } from "./open.ts";

describe("laws", () => {
  for (const law of [...exporterLaws(onnxExporter), ...importerLaws(onnxImporter, { exporter: onnxExporter })])
    test.skipIf(law.skipped !== undefined)(law.name, law.run, 20_000);
});

/** A graph of many nodes, each with a weight of its own that is nowhere. */
function many(count: number): Model {
  const b = buildGraph();
  let x = b.input("float32", [1024, 32], "x");
  for (let i = 0; i < count; i++) {
    const read = async ({ length }: { length: number }) => new Uint8Array(length);
    x = b.op("Add", [x, b.weight(lazyTensor({ dtype: "float32", shape: [1024, 32], read }))]);
  }
  b.output(x, "float32", [1024, 32]);
  return b.model();
}

test("what is held while writing does not grow with the weights", async () => {
  const count = 2000;
  const m = many(count);
  let most = 0;
  let total = 0;
  const sink = {
    async create() {
      return {
        async write(bytes: Uint8Array) {
          total += bytes.length;
          most = Math.max(most, process.memoryUsage().arrayBuffers);
        },
        async close() {},
      };
    },
    async commit() {},
    async abort() {},
  };
  const before = process.memoryUsage().arrayBuffers;
  await writeOnnx(m, sink, { externalData: true });
  expect(total).toBeGreaterThan(count * 131_072);
  // Garbage that is not collected yet counts too.
  expect(most - before).toBeLessThan(total / 3);
});
