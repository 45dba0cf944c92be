import { run } from "@pare/core";
import { openOnnx } from "@pare/onnx";
import { optimize } from "@pare/optimize";
import { writeTflite } from "@pare/tflite";

/** Converts a file, `[from, to, shapes as JSON]`, and prints how many seconds that took. */
const [from, to, shapes] = process.argv.slice(2) as [string, string, string];
const started = performance.now();
const { model, close } = await openOnnx(from);
const { model: optimized } = await run(optimize(), model);
await writeTflite(optimized, to, { shapes: JSON.parse(shapes) as Record<string, readonly number[]> });
await close();
process.stdout.write(JSON.stringify({ seconds: (performance.now() - started) / 1000 }));
