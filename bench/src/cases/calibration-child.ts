import { run, type Samples, samplesFrom, tensor } from "@pare/core";
import { openOnnx, ortX64 } from "@pare/onnx";
import { gather } from "@pare/ops/observe";
import { int8 } from "@pare/quantize";
import { ort } from "@pare/runtime-ort";
import { crop, detectionInput, renderLines, resize, stack } from "edge-deploy/ocr";

/** Runs a model on pages, and does with what it sees as the method says; prints how long that took as JSON. */
const [file, method, count] = process.argv.slice(2) as [string, "plain" | "min-max" | "entropy", string];
const SIDE = 640;

/** A page of text, one row lower with each sample: all differ, and none costs time to make. */
function pages(input: string, count: number): Samples {
  const lines = stack(
    renderLines({ seed: 9, count: 14 }).map((l) => l.image),
    SIDE,
    8,
  );
  const page = crop(lines, { left: 0, top: 0, right: SIDE, bottom: SIDE });
  const { bytes } = detectionInput(resize(page, SIDE, SIDE), SIDE);
  return samplesFrom(function* () {
    for (let i = 0; i < count; i++) {
      const at = 4 * SIDE * i;
      const rolled = new Uint8Array(bytes.length);
      rolled.set(bytes.subarray(at % bytes.length));
      rolled.set(bytes.subarray(0, at % bytes.length), bytes.length - (at % bytes.length));
      yield { [input]: tensor("float32", [1, 3, SIDE, SIDE], rolled) };
    }
  }, count);
}

const { model, close } = await openOnnx(file);
const samples = pages(model.graph.inputs[0]!.name, Number(count));
const runtime = ort();
const started = performance.now();
if (method === "plain") {
  const session = await runtime.prepare(model);
  for await (const sample of samples.open()) await session.run(sample);
  await session.close();
} else await run(int8({ calibration: method }), model, { runtime, samples, target: ortX64, gather });
process.stdout.write(JSON.stringify({ seconds: (performance.now() - started) / 1000 }));
await close();
