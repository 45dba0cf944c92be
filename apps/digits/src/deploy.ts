import { join } from "node:path";
import { dataOf, type Model, type ResidentTensor, type Session } from "@pare/core";
import { optimize } from "@pare/optimize";
import { biasCorrection, equalize, int8 } from "@pare/quantize";
import { litert } from "@pare/runtime-litert";
import { ort } from "@pare/runtime-ort";
import { type CompressOptions, compress, ortX64 } from "pare";
import { type Digits, pictures, someOf } from "./data.ts";

interface Form {
  readonly name: string;
  readonly file: string;
  readonly options: Pick<CompressOptions, "passes" | "target" | "tflite">;
}

const forms: readonly Form[] = [
  { name: "float32, ONNX", file: ".onnx", options: { passes: [optimize()] } },
  {
    name: "int8, ONNX",
    file: "_int8.onnx",
    options: { passes: [optimize(), equalize(), biasCorrection(), int8()], target: ortX64 },
  },
  {
    name: "float16 weights, TFLite",
    file: "_w16.tflite",
    options: { passes: [optimize()], tflite: { weights: "float16" } },
  },
];

/** Pictures that ranges of activations are found on. */
const CALIBRATION = 200;
/** Pictures of a run. */
const BATCH = 100;

export interface Row {
  readonly network: string;
  readonly form: string;
  readonly bytes: number;
  /** Share of the test pictures whose digit is found. */
  readonly accuracy: number;
  readonly file: string;
}

/** Writes a network in every form into `folder`, and runs each file on the digits that are kept. */
export async function deploy(
  network: string,
  model: Model,
  digits: { readonly train: Digits; readonly test: Digits },
  folder: string,
  signal: AbortSignal,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const form of forms) {
    const file = join(folder, `digits-${network}${form.file}`);
    const result = await compress(model, {
      ...form.options,
      output: file,
      samples: someOf(digits.train, CALIBRATION),
      latency: false,
      gzip: false,
      signal,
    });
    await result.close();
    const session = await (form.options.tflite ? litert() : ort()).prepareFile(file, { signal });
    try {
      rows.push({
        network,
        form: form.name,
        bytes: result.bytes.after,
        accuracy: await accuracy(session, digits.test, signal),
        file,
      });
    } finally {
      await session.close();
    }
  }
  return rows;
}

/** Share of the pictures whose largest logit is at their digit. */
async function accuracy(session: Session, digits: Digits, signal: AbortSignal): Promise<number> {
  const batches = pictures(digits, BATCH);
  let right = 0;
  for (const [i, batch] of batches.entries()) {
    const outputs = await session.run(batch, { signal });
    const logits = dataOf(Object.values(outputs)[0] as ResidentTensor<"float32">) as Float32Array;
    for (let k = 0; k < BATCH; k++) {
      const row = logits.subarray(k * 10, (k + 1) * 10);
      if (row.indexOf(Math.max(...row)) === digits.labels[i * BATCH + k]) right++;
    }
  }
  return right / (batches.length * BATCH);
}
