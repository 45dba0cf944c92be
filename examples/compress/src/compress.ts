import { openOnnx, writeOnnx } from "@pare/onnx";
import { int8Weights } from "@pare/quantize";
import { compare } from "@pare/report";
import { ort } from "@pare/runtime-ort";
import { run, syntheticSamples } from "pare";

const source = await openOnnx("model.onnx"); // weights stay on disk
const samples = syntheticSamples(source.model, { count: 4, seed: 1 });
const { model, report } = await run([int8Weights()], source.model, { samples, runtime: ort() });
console.log(`${report}`); // int8-weights: 47 of 47 done

const artifact = await writeOnnx(model, "model.int8.onnx");
const proof = await compare(
  { name: "source", model: source.model, runtime: ort(), file: "model.onnx" },
  { name: "int8", model, runtime: ort(), file: "model.int8.onnx" },
  { samples },
);
for (const { name, sqnrDb } of proof.outputs) console.log(`${name}: ${sqnrDb.toFixed(1)} dB`);
console.log(`${artifact.files[0]?.byteLength} bytes`);
await source.close();
