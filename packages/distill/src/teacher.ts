/** Who answers what a student learns: models in a runtime, or any function. */
import {
  failure,
  isFloat,
  type Model,
  type ResidentTensor,
  type Runtime,
  type Session,
  tensor,
  type Values,
  viewOf,
} from "@pare/core";
import { numbersOf, tensorOf } from "@pare/ops/numeric";
import { modelDigest } from "@pare/ops/observe";
import { joinRows, takeRows } from "@pare/train";

/** Gives the values `wanted` for a batch of inputs, each [samples, …]: a service, a model of another framework. */
export type AnswerFunction = (
  inputs: Values,
  wanted: readonly string[],
  signal?: AbortSignal,
) => Values | Promise<Values>;

/** A model that a runtime executes, or a function. */
export type Teacher = Model | AnswerFunction;

export interface WeightedTeacher {
  readonly teacher: Teacher;
  /** How much it counts among several. Default 1. */
  readonly weight?: number;
  /** Names what a function computes, so that its answers can be kept. Models are named by their content. */
  readonly key?: string;
}

/** One teacher, or several, whose answers are averaged by their weights: of logits that is the geometric mean of probabilities. */
export type Teachers = Teacher | WeightedTeacher | readonly (Teacher | WeightedTeacher)[];

export interface PanelOptions {
  /** The values that are asked for, outputs or inner ones. */
  readonly values: readonly string[];
  readonly runtime: Runtime;
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Teachers that are ready to answer. */
export interface Panel {
  /** The mean of the answers, float32 [samples, …]. */
  ask(inputs: Values): Promise<Values>;
  close(): Promise<void>;
}

export const weightedTeachers = (teachers: Teachers): readonly WeightedTeacher[] => {
  const list = (Array.isArray(teachers) ? teachers : [teachers]).map((t) =>
    typeof t === "function" || "graph" in t ? { teacher: t } : t,
  ) as WeightedTeacher[];
  if (list.length === 0) throw failure("distill/options", "there is no teacher");
  for (const { weight = 1 } of list)
    if (!(weight > 0 && weight < Number.POSITIVE_INFINITY))
      throw failure("distill/options", `the weight of a teacher is above 0, not ${weight}`);
  return list;
};

/**
 * Prepares teachers.
 * @throws PareError `distill/options`; `distill/teacher-value` for a value that a teacher lacks or that is no real number;
 *   `distill/answer` from `ask` where an answer does not fit the batch; what the runtime throws
 */
export async function openTeachers(teachers: Teachers, options: PanelOptions): Promise<Panel> {
  const list = weightedTeachers(teachers);
  const total = list.reduce((sum, { weight = 1 }) => sum + weight, 0);
  const opened: { readonly ask: (inputs: Values) => Promise<Values>; readonly close?: () => Promise<void> }[] = [];
  const close = async () => void (await Promise.all(opened.map((o) => o.close?.())));
  const { values: wanted, signal } = options;
  try {
    for (const { teacher } of list)
      opened.push(
        typeof teacher === "function"
          ? { ask: async (inputs) => teacher(inputs, wanted, signal) }
          : await openModel(teacher, options),
      );
  } catch (error) {
    await close();
    throw error;
  }
  return {
    async ask(inputs) {
      const answers: Values[] = [];
      for (const { ask } of opened) answers.push(checked(await ask(inputs), inputs, wanted));
      if (answers.length === 1) return answers[0]!;
      const shares = list.map(({ weight = 1 }) => weight / total);
      return Object.fromEntries(wanted.map((v) => [v, average(v, answers, shares)]));
    },
    close,
  };
}

async function openModel(model: Model, { values, runtime, threads, signal }: PanelOptions) {
  const { main } = viewOf(model);
  const missing = values.filter((v) => !main.definer(v));
  if (missing.length > 0)
    throw failure("distill/teacher-value", `the teacher has no value ${missing.join(", ")}`, {
      hint: `Its outputs are ${main.graph.outputs.map((v) => v.name).join(", ")}.`,
    });
  const session = await runtime.prepare(model, {
    taps: values.filter((v) => !main.isOutput(v)),
    ...(threads === undefined ? {} : { threads }),
    ...(signal && { signal }),
  });
  const given = main.graph.inputs.filter((v) => !main.graph.weights.has(v.name));
  const sizes = given.map(({ type }) => (type?.kind === "tensor" ? type.shape?.[0] : undefined));
  const fixed = sizes.length > 0 && typeof sizes[0] === "number" && sizes.every((n) => n === sizes[0]) ? sizes[0] : 0;
  const run = (inputs: Values) => session.run(inputs, { outputs: values, ...(signal && { signal }) });
  return {
    async ask(batch: Values) {
      const inputs = Object.fromEntries(given.flatMap(({ name }) => (batch[name] ? [[name, batch[name]]] : [])));
      const rows = rowsOf(inputs);
      // A model made for batches of one size takes others in pieces of it.
      if (!fixed || rows === fixed || rows % fixed !== 0) return run(inputs);
      return joinRows(await inPieces(run, inputs, rows, fixed));
    },
    close: () => session.close(),
  };
}

async function inPieces(run: Session["run"], inputs: Values, rows: number, size: number): Promise<Values[]> {
  const answers: Values[] = [];
  for (let from = 0; from < rows; from += size) answers.push(await run(sliceRows(inputs, from, size)));
  return answers;
}

/** Rows `from` to `from + count` of all values. */
export function sliceRows(values: Values, from: number, count: number): Values {
  const rows = Array.from({ length: count }, (_, i) => from + i);
  return Object.fromEntries(Object.entries(values).map(([name, t]) => [name, takeRows(t, rows)]));
}

/** How many samples a batch has. */
export const rowsOf = (values: Values): number => Object.values(values)[0]?.shape[0] ?? 0;

function checked(answer: Values, inputs: Values, wanted: readonly string[]): Values {
  const rows = rowsOf(inputs);
  return Object.fromEntries(
    wanted.map((v): [string, ResidentTensor] => {
      const t = answer[v];
      const problem = !t
        ? "the teacher's answer lacks it"
        : !isFloat(t.dtype)
          ? `the teacher gives ${t.dtype}, and only real numbers are learned`
          : t.shape[0] !== rows
            ? `the teacher gives [${t.shape}] for a batch of ${rows}`
            : undefined;
      if (problem) throw failure("distill/answer", problem, { location: { value: v } });
      return [v, t!.dtype === "float32" ? t! : tensorOf("float32", t!.shape, numbersOf(t!))];
    }),
  );
}

function average(name: string, answers: readonly Values[], shares: readonly number[]): ResidentTensor {
  const all = answers.map((a) => a[name]!);
  const { shape } = all[0]!;
  const other = all.find((t) => `${t.shape}` !== `${shape}`);
  if (other)
    throw failure("distill/answer", `teachers differ: [${shape}] and [${other.shape}]`, { location: { value: name } });
  const numbers = all.map(numbersOf);
  return tensor(
    "float32",
    shape,
    Float32Array.from(numbers[0]!, (_, i) => numbers.reduce((sum, n, k) => sum + shares[k]! * Number(n[i]), 0)),
  );
}

/**
 * Names what teachers compute.
 * @throws PareError `distill/teacher-key` for a function without a key
 */
export async function teachersDigest(teachers: Teachers, signal?: AbortSignal): Promise<string> {
  const names: string[] = [];
  for (const { teacher, weight = 1, key } of weightedTeachers(teachers)) {
    if (typeof teacher === "function" && key === undefined)
      throw failure(
        "distill/teacher-key",
        "answers of a function are kept only under a key that names what it computes",
        {
          hint: "Give { teacher, key }, with another key when the function changes.",
        },
      );
    names.push(JSON.stringify([weight, key ?? (await modelDigest(teacher as Model, signal))]));
  }
  return names.join();
}
