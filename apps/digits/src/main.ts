import type { Model } from "@pare/core";
import { distillationLoss, student, trainStudent } from "@pare/distill";
import { build, lenetCaffe } from "@pare/nn";
import { table, textTable } from "@pare/report";
import { ort } from "@pare/runtime-ort";
import { batched, cosineRate, crossEntropy, sgd, type TrainingProgress, train } from "@pare/train";
import { sampleApp, say } from "edge-deploy/command";
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

sampleApp(usage, async ({ full, json, out, signal }) => {
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
    void rows.push(...(await deploy(name, model, digits, out, signal)));

  const network = build(lenetCaffe(), { input: [1, 28, 28], inputName: "image", seed: 1 });
  const teacher = await train(network, {
    ...recipe("teacher", full ? 8 : 3),
    loss: crossEntropy({ output: "logits", target: "label" }),
  });
  await show("teacher", teacher.model);
  const small = await trainStudent(await student(teacher.model, { width: WIDTH }), {
    ...recipe("student", full ? 12 : 4),
    unroll: 4,
    teacher: teacher.model,
    loss: distillationLoss({ label: "label", alpha: 0.7, temperature: 4 }),
  });
  await show("student", small.model);
  if (json) process.stdout.write(`${JSON.stringify(rows)}\n`);
  else process.stdout.write(`\n${textTable(summary(rows))}\n`);
});
