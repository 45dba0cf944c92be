import {
  definePass,
  elementCount,
  failure,
  type Host,
  type Model,
  type Need,
  operatorOf,
  PASS_API_VERSION,
  type Pass,
  type PassContext,
  type PassFactory,
  type Samples,
  type StandardSchemaV1,
  type Values,
  viewOf,
  type Weight,
  weightsOf,
} from "@pare/core";
import { numbersOf, tensorOf } from "@pare/ops/numeric";
import { modelDigest, samplesDigest } from "@pare/ops/observe";
import { groupBy } from "@pare/ops/weights";
import { adamW, cosineRate, parametersOf, streamed, type TrainOptions } from "@pare/train";
import * as z from "zod";
import { trainBlocks } from "./blocks.ts";
import { distillationLoss } from "./losses.ts";
import { student } from "./student/student.ts";
import { type Teachers, teachersDigest } from "./teacher.ts";
import { trainStudent } from "./train-student.ts";

const share = z.number().positive().max(1);
const training = {
  epochs: z.int().min(1).default(5).describe("times that all samples are seen"),
  batchSize: z.int().min(1).default(64).describe("samples of one step"),
  rate: z.number().positive().default(1e-3).describe("learning rate of AdamW, which falls to 0 as a cosine"),
  temperature: z.number().positive().default(4).describe("logits of both are divided by it"),
  alpha: z.number().min(0).max(1).default(1).describe("how much the teacher counts; below 1 labels do too"),
  output: z.string().min(1).optional().describe("the logits; by default the only output, or what its Softmax reads"),
  seed: z.int().min(0).default(0).describe("of the order of samples, and of new weights"),
};
const studentOptions = z.strictObject({
  width: share.default(1).describe("share of the channels that stay"),
  depth: z.number().min(0).max(1).default(1).describe("share of the residual blocks that stay"),
  weights: z.enum(["keep", "new"]).default("keep").describe("whether the student begins with weights of the model"),
  ...training,
});
const teacherOptions = z.strictObject({
  by: z
    .enum(["outputs", "blocks"])
    .default("outputs")
    .describe("learn what the teacher gives, or block by block what each of its blocks gives"),
  ...training,
});
type Training = z.output<z.ZodObject<typeof training>>;

const needs = ["runtime", "samples"] as const;
const definition = { name: "distill", apiVersion: PASS_API_VERSION, needs, reads: "weights" } as const;

/** The pass, which needs labels where they count. */
function withLabels<S extends StandardSchemaV1>(factory: PassFactory<S>): PassFactory<S> {
  const make = (input?: StandardSchemaV1.InferInput<S>): Pass => {
    const pass = factory(input);
    const { alpha } = pass.options as Training;
    return alpha < 1 ? { ...pass, needs: [...pass.needs, "labels"] satisfies Need[] } : pass;
  };
  return Object.assign(make, { passName: factory.passName, schema: factory.schema });
}

/**
 * Makes a model smaller and trains what is left of it to give what the whole gave: a {@link student} of `width` and `depth`, trained
 * on the samples by {@link distillationLoss}. With a store a run that was killed goes on.
 * @throws PareError `distill/student`, `distill/options`, `distill/labels`, and what `trainStudent` throws
 * @example run(distill({ width: 0.5, epochs: 10 }), model, { runtime: ort(), samples })
 */
export const distill = withLabels(
  definePass({
    ...definition,
    options: studentOptions,
    async run(model, options, ctx) {
      const { width, depth, weights, seed } = options;
      if (width === 1 && depth === 1)
        throw failure("distill/options", "a student of the same width and depth is no smaller", {
          hint: "Give width or depth below 1, or use distillFrom(teacher) to train the model itself.",
        });
      const full: { readonly name: string; readonly reason: string }[] = [];
      const onSkip = ({ name }: Weight, reason: string) => void full.push({ name, reason });
      const small = await student(model, { width, depth, weights, seed, onSkip, signal: ctx.signal });
      for (const same of groupBy(full, (w) => w.reason)) {
        const names = same.slice(0, 5).map((w) => w.name);
        if (same.length > names.length) names.push(`${same.length - names.length} more`);
        ctx.diagnose({
          code: "distill/full-width",
          severity: "info",
          message: `${names.join(", ")}: channels stay (${same[0]!.reason})`,
        });
      }
      return taught(model, small, model, options, ctx);
    },
  }),
);

/**
 * A pass that trains the model it is given to be like a teacher: what other passes damaged, or a network of its own.
 * @example run([threshold({ ratio: 0.5 }), distillFrom(original)({ by: "blocks" })], original, { runtime: ort(), samples })
 */
export const distillFrom = (teacher: Teachers): PassFactory<typeof teacherOptions> =>
  withLabels(
    definePass({
      ...definition,
      options: teacherOptions,
      run: (model, options, ctx) => taught(model, model, teacher, options, ctx),
    }),
  );

type Context = PassContext<(typeof needs)[number]>;

/** Trains `small`, which was made of `source`. */
async function taught(
  source: Model,
  small: Model,
  teacher: Teachers,
  options: Training & { readonly by?: "outputs" | "blocks" },
  ctx: Context,
): Promise<Model> {
  const { alpha, temperature, epochs, batchSize, rate, seed } = options;
  const { runtime, samples } = ctx.host;
  const given = alpha < 1 ? labelled(samples, ctx.labels) : samples;
  const size = Math.min(batchSize, given.count ?? batchSize);
  const data = streamed(given, { size, shuffle: seed });
  const steps = (data.batches ?? 0) * epochs;
  const common: Omit<TrainOptions, "loss"> = {
    data,
    epochs,
    seed,
    runtime,
    optimizer: adamW(),
    rate: steps > 0 ? cosineRate({ rate, steps }) : rate,
    signal: ctx.signal,
    onProgress: ({ step, steps: all }) => ctx.progress(step, all, "steps"),
    checkpoint: ctx.store && { store: ctx.store, key: await keyOf(small, teacher, given, options, ctx.signal) },
  };
  const logits = logitsOf(small, options.output);
  const label = alpha < 1 ? LABEL : undefined;
  const { model } = await (options.by === "blocks"
    ? trainBlocks(small, { ...common, teacher })
    : trainStudent(small, {
        ...common,
        teacher,
        loss: distillationLoss({ output: logits, label, alpha, temperature }),
      }));
  account(source, model, ctx);
  return model;
}

/** Says of each weight that the model had whether it was trained. */
function account(before: Model, after: Model, ctx: Context): void {
  const { main } = viewOf(after);
  const parameters = new Set(parametersOf(before).map((w) => w.name));
  for (const weight of weightsOf(viewOf(before))) {
    if (weight.view !== viewOf(before).main) continue;
    const now = main.constant(weight.name);
    if (now !== weight.tensor && now) ctx.done(weight, { parameters: elementCount(now.shape) });
    else if (parameters.has(weight.name))
      ctx.skip(weight, now ? "the loss does not depend on it" : "what it belongs to was left out");
  }
}

const keyOf = async (small: Model, teacher: Teachers, samples: Samples, options: unknown, signal: AbortSignal) =>
  `distill/run@1 ${[
    await modelDigest(small, signal),
    await teachersDigest(teacher, signal),
    (await samplesDigest(samples, signal)).digest,
    JSON.stringify(options),
  ].join(" ")}`;

const LABEL = "distill/label";

/** Samples with the label of each. */
function labelled(samples: Samples, labels: Host["labels"]): Samples {
  return {
    count: samples.count,
    async *open(signal) {
      const source = each(labels!.open(signal));
      for await (const sample of samples.open(signal)) {
        const next = await source.next();
        if (next.done) throw failure("distill/labels", "there are fewer labels than samples");
        const [label, ...more] = Object.values(next.value);
        if (!label || more.length > 0)
          throw failure("distill/labels", `a sample has ${more.length + Number(!!label)} labels, not one class`);
        yield { ...sample, [LABEL]: tensorOf("int64", label.shape, numbersOf(label)) };
      }
    },
  };
}

async function* each(source: AsyncIterable<Values> | Iterable<Values>): AsyncGenerator<Values> {
  yield* source;
}

/** What a softmax makes probabilities of; all else is taken as it is. */
function logitsOf(model: Model, name: string | undefined): string {
  const { main } = viewOf(model);
  const { outputs } = model.graph;
  if (name === undefined && outputs.length !== 1)
    throw failure("distill/options", `the model has ${outputs.length} outputs: say which are the logits, with output`, {
      hint: outputs.map((v) => v.name).join(", "),
    });
  const value = name ?? outputs[0]!.name;
  const maker = main.producer(value);
  if (!maker) throw failure("distill/options", "the model computes no such value", { location: { value } });
  return name === undefined && operatorOf(maker) === "Softmax" ? maker.inputs[0]! : value;
}
