import { mkdirSync } from "node:fs";
import { parseArgs } from "node:util";
import { isPareError, type Model } from "@pare/core";
import { distillationLoss, student, trainStudent } from "@pare/distill";
import { build, lenetCaffe } from "@pare/nn";
import { table, textTable } from "@pare/report";
import { ort } from "@pare/runtime-ort";
import { batched, cosineRate, crossEntropy, sgd, type TrainingProgress, train } from "@pare/train";
import { loadDigits } from "./data.ts";
import { deploy, type Row } from "./deploy.ts";

const usage = `node apps/digits/dist/main.js [--full] [--json] [--out DIR]

Trains a classifier of handwritten digits, distils a small one from it, and writes both as ONNX and TFLite.

  --full   more epochs
  --json   the table as JSON on standard output
  --out    where models go, by default out
`;

const BATCH = 64;
/** Part of the teacher's channels that its student has: a twentieth of its weights. */
const WIDTH = 0.22;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      full: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      out: { type: "string", default: "out" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const abort = new AbortController();
  process.once("SIGINT", () => abort.abort(new Error("interrupted")));
  const { signal } = abort;
  mkdirSync(values.out, { recursive: true });
  const digits = loadDigits();
  const data = batched(digits.train.values, { size: BATCH, shuffle: 1 });
  /** How a network learns, whichever loss it has. */
  const recipe = (name: string, epochs: number) => {
    const steps = data.batches! * epochs;
    return {
      data,
      epochs,
      optimizer: sgd({ momentum: 0.9, weightDecay: 5e-4 }),
      rate: cosineRate({ rate: 0.02, steps }),
      runtime: ort(),
      signal,
      onProgress: ({ step, loss, msLeft = 0 }: TrainingProgress) => {
        if (step % 50 === 0 || step === steps)
          say(`${name}: step ${step} of ${steps}, loss ${loss.toFixed(4)}, ${Math.ceil(msLeft / 1000)} s left`);
      },
    };
  };
  const rows: Row[] = [];
  const show = async (name: string, model: Model) =>
    void rows.push(...(await deploy(name, model, digits, values.out, signal)));

  const network = build(lenetCaffe(), { input: [1, 28, 28], inputName: "image", seed: 1 });
  const teacher = await train(network, {
    ...recipe("teacher", values.full ? 8 : 3),
    loss: crossEntropy({ output: "logits", target: "label" }),
  });
  await show("teacher", teacher.model);
  const small = await trainStudent(await student(teacher.model, { width: WIDTH }), {
    ...recipe("student", values.full ? 12 : 4),
    unroll: 4,
    teacher: teacher.model,
    loss: distillationLoss({ label: "label", alpha: 0.7, temperature: 4 }),
  });
  await show("student", small.model);
  if (values.json) process.stdout.write(`${JSON.stringify(rows)}\n`);
  else process.stdout.write(`\n${textTable(summary(rows))}\n`);
  return 0;
}

const say = (text: string) => process.stderr.write(`${text}\n`);

const summary = (rows: readonly Row[]) =>
  table(
    [
      { key: "network" },
      { key: "form" },
      { key: "bytes", unit: "bytes" },
      { key: "accuracy", align: "right" },
      { key: "file" },
    ],
    rows.map((r) => ({ ...r, accuracy: `${(100 * r.accuracy).toFixed(2)} %` })),
  );

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`${isPareError(error) ? error.message : String((error as Error)?.stack ?? error)}\n`);
    process.exit(1);
  },
);
