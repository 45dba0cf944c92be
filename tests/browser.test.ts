import { build } from "esbuild";
import { describe, expect, test } from "vitest";

/** Everything that has to run in a browser. Runtimes pick their engine there; the command line does not go there. */
const packages = [
  ...["core", "ops", "io", "onnx", "tflite", "optimize", "quantize", "prune", "nn", "report"],
  ...["runtime-ort", "runtime-litert", "runtime-tfjs"],
];

describe("bundles for browsers without a Node module", () => {
  for (const name of packages)
    test(`@pare/${name}`, async () => {
      const result = await build({
        stdin: {
          contents: `export * from "@pare/${name}";`,
          resolveDir: new URL(`../packages/${name}`, import.meta.url).pathname,
        },
        bundle: true,
        write: false,
        format: "esm",
        platform: "browser",
        conditions: ["pare-source"],
        external: ["onnxruntime-web", "onnxruntime-node", "@litertjs/core", "@tensorflow/tfjs"],
        logLevel: "silent",
        metafile: true,
      });
      const imports = Object.values(result.metafile.inputs).flatMap((input) => input.imports.map((i) => i.path));
      expect(imports.filter((path) => path.startsWith("node:"))).toEqual([]);
    });
});
