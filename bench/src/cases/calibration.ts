import { fileURLToPath } from "node:url";
import { models } from "edge-deploy/models";
import type { BenchCase, Benchmark } from "../benchmark.ts";
import { runScript } from "../command.ts";

type Method = "plain" | "min-max" | "entropy";

/** With ONNX Runtime's quantizer 1.32, on the same network and size of image. */
const THEIRS =
  "ONNX Runtime's quantizer: entropy of 10 samples 17.1 s and 7,200 MB, min-max of 10 samples 4.0 s, of 40 samples 10.6 s and 1,500 MB.";

export const calibration: Benchmark = {
  name: "calibration",
  about: "time and memory of int8 calibration: the OCR detector at 640x640, 10 to 1,000 samples",
  async run({ quick, progress, signal }) {
    const child = fileURLToPath(new URL("./calibration-child.js", import.meta.url));
    const cases: BenchCase[] = [];
    const measure = async (method: Method, count: number) => {
      progress(`${method}, ${count} samples`);
      const { peakMB, stdout } = await runScript(child, [models.detection(), method, String(count)], signal);
      const { seconds } = JSON.parse(stdout) as { readonly seconds: number };
      cases.push({ name: `${method}, ${count} samples`, seconds, peakMB });
      return { seconds, peakMB };
    };
    const plain = await measure("plain", 10);
    const few = await measure("min-max", 10);
    const entropy = await measure("entropy", 10);
    let many = few;
    if (!quick)
      for (const count of [100, 1000]) {
        many = await measure("min-max", count);
        await measure("entropy", count);
        await measure("plain", count);
      }
    return {
      figures: {
        entropy10Seconds: entropy.seconds,
        entropy10MB: entropy.peakMB,
        ...(quick ? {} : { minmax1000MB: many.peakMB }),
        minmax10MB: few.peakMB,
        minmax10Seconds: few.seconds,
        plain10Seconds: plain.seconds,
      },
      cases,
      notes: [
        "Seconds from the model in memory to the quantized one, or to the last forward pass (plain), with one start of the engine each; memory is of the process and its children.",
        THEIRS,
      ],
    };
  },
};
