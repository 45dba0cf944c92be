import { attr, type Model, tensor } from "@pare/core";
import { buildGraph, exporterLaws, importerLaws } from "@pare/testing";
import { test } from "vitest";
import { tfliteExporter } from "./exporter.ts";
import { tfliteImporter } from "./format/importer.ts";
import { toCore } from "./format/to-core.ts";
import { richModel } from "./test/fixtures.ts";

/** One that was read from TFLite, one that is lowered, and one that TFLite has no words for. */
function models(): Record<string, Model> {
  const dense = buildGraph();
  const weights = Float32Array.from({ length: 12 }, (_, i) => Math.sin(i));
  const h = dense.op("MatMul", [dense.input("float32", [2, 4], "x"), dense.weight(tensor("float32", [4, 3], weights))]);
  dense.output(dense.op("Relu", [h]), "float32", [2, 3]);
  const foreign = buildGraph();
  foreign.output(foreign.op("acme.Nope", [foreign.input("float32", [1])], { a: attr.int(1) }), "float32", [1]);
  return {
    "from TFLite": toCore(richModel()),
    dense: dense.model(),
    foreign: foreign.model({ opsets: new Map([...dense.model().opsets, ["acme", 1]]) }),
  };
}

for (const law of [
  ...exporterLaws(tfliteExporter, { models }),
  ...importerLaws(tfliteImporter, {
    exporter: tfliteExporter,
    models,
    skip: {
      "keeps values, weights and names of the graph": "lowering gives weights and inner values other names and forms",
    },
  }),
])
  test.skipIf(law.skipped !== undefined)(law.name, law.run, 30_000);
