import { lazyTensor } from "@pare/core";
import { buildGraph, exporterLaws, importerLaws } from "@pare/testing";
import { describe, expect, test } from "vitest";
import { onnxExporter } from "./exporter.ts";
import { onnxImporter } from "./importer.ts";
import { writeOnnx } from "./open.ts";

describe("laws", () => {
  for (const law of [...exporterLaws(onnxExporter), ...importerLaws(onnxImporter, { exporter: onnxExporter })])
    test.skipIf(law.skipped !== undefined)(law.name, law.run, 20_000);
});

test("of many weights only a few are held while they are written", async () => {
  const [count, shape, size] = [2000, [1024, 32], 131_072] as const;
  let [held, most, total] = [0, 0, 0];
  const read = async ({ length }: { length: number }) => {
    most = Math.max(most, (held += length));
    return new Uint8Array(length);
  };
  const b = buildGraph();
  let x = b.input("float32", shape, "x");
  for (let i = 0; i < count; i++) x = b.op("Add", [x, b.weight(lazyTensor({ dtype: "float32", shape, read }))]);
  b.output(x, "float32", shape);
  const sink = {
    create: async (name: string) => ({
      async write(bytes: Uint8Array) {
        if (!name.endsWith(".data")) return;
        held -= bytes.length;
        total += bytes.length;
      },
      async close() {},
    }),
    async commit() {},
    async abort() {},
  };
  await writeOnnx(b.model(), sink, { externalData: true });
  expect(total).toBe(count * size);
  expect(most).toBeLessThan(16 << 20);
});
