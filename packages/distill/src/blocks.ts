import { edit, failure, isFloat, type Model, readsOf, value, viewOf, weightsOf } from "@pare/core";
import { weightRole } from "@pare/ops/weights";
import { type Trained, type TrainOptions, weightedSum } from "@pare/train";
import { shapesIn } from "./hints.ts";
import { relativeError, teacherValue } from "./losses.ts";
import type { Teachers } from "./teacher.ts";
import { trainAs } from "./train-as.ts";
import { first, type TrainStudentOptions, withTeacher } from "./train-student.ts";

export interface TrainBlocksOptions extends Omit<TrainOptions, "loss">, Pick<TrainStudentOptions, "teacherRuntime"> {
  readonly teacher: Teachers;
  /** Values at which blocks end, of the same name in teacher and student; outputs end the last. Default: {@link blockEnds}. */
  readonly ends?: readonly string[] | undefined;
}

/**
 * Trains each block of a student to give what the teacher's block gives for the same input, the teacher's own: no labels, no
 * gradient through more than one block, all blocks in one step. For students of the teacher's graph whose values at the ends of
 * blocks are of the same shape: pruned, quantized or otherwise damaged. (Blockwise supervision: Li et al. 2020, arXiv:1911.13053.)
 * @throws PareError `distill/blocks` for an end that does not fit; what teachers and `train` throw
 * @example const { model } = await trainBlocks(pruned, { teacher: original, data: streamed(photos, { size: 32 }), optimizer: adam(), rate: 1e-3, epochs: 2, runtime: ort() });
 */
export async function trainBlocks(student: Model, options: TrainBlocksOptions): Promise<Trained> {
  const { teacher: _, teacherRuntime: __, ends = blockEnds(student), data, ...rest } = options;
  const { main } = viewOf(student);
  const outputs = student.graph.outputs
    .filter(({ type }) => type?.kind !== "tensor" || isFloat(type.dtype))
    .map((v) => v.name);
  const wrong = ends.find((v) => !main.producer(v));
  if (wrong !== undefined)
    throw failure("distill/blocks", "the student computes no such value", { location: { value: wrong } });
  const learned = [...new Set([...ends, ...outputs])];
  const { taught, close } = await withTeacher(data, learned, options);
  try {
    const batch = await first(taught, options.signal);
    const shapeOf = shapesIn(student, batch);
    for (const v of learned) {
      const [own, given] = [shapeOf(v), batch[teacherValue(v)]!.shape];
      if (`${own}` !== `${given}`)
        throw failure("distill/blocks", `the student's is [${own}], the teacher's [${given}]`, {
          location: { value: v },
          hint: "Blocks end where both have the same shape: say where with ends, or train with trainStudent and hints.",
        });
    }
    const inner = ends.filter((v) => !main.isOutput(v));
    return await trainAs(student, apart(student, inner), {
      ...rest,
      data: taught,
      loss: weightedSum(learned.map((v) => [1, relativeError({ output: v, target: teacherValue(v) })])),
    });
  } finally {
    await close();
  }
}

/** The blocks beside each other: what reads an end reads the teacher's value, and the end is an output. */
const apart = (model: Model, ends: readonly string[]): Model =>
  edit(model, (e) => {
    const { main } = e.view;
    const { inputs, outputs } = model.graph;
    for (const v of ends) for (const use of main.uses(v)) e.setInput(use, teacherValue(v));
    e.setGraph(main, {
      inputs: [...inputs, ...ends.map((v) => value(teacherValue(v), "float32"))],
      outputs: [...outputs, ...ends.map((name) => ({ name }))],
    });
  });

/**
 * Values through which all that follows goes, each the last before another matrix or filter: between blocks of a residual network,
 * between layers of a plain one.
 */
export function blockEnds(model: Model): string[] {
  const { main } = viewOf(model);
  const { nodes, inputs, outputs } = main.graph;
  const matrices = new Set(
    [...weightsOf(viewOf(model))].flatMap((w) => {
      const role = isFloat(w.tensor.dtype) ? weightRole(w.uses, w.tensor.shape.length) : undefined;
      return role ? [role.op] : [];
    }),
  );
  const lastRead = new Map<string, number>();
  nodes.forEach((n, i) => {
    for (const v of readsOf(n)) lastRead.set(v, i);
  });
  for (const { name } of outputs) lastRead.set(name, nodes.length);
  /** Values that depend on inputs and are still read. */
  const live = new Set(inputs.map((v) => v.name).filter((v) => lastRead.has(v) && !main.graph.weights.has(v)));
  const ends: string[] = [];
  let [hasMatrix, candidate] = [false, ""];
  nodes.forEach((n, i) => {
    const reads = readsOf(n).filter((v) => live.has(v));
    if (reads.length === 0) return;
    if (matrices.has(n)) {
      if (hasMatrix && candidate !== "") {
        ends.push(candidate);
        candidate = "";
      }
      hasMatrix = true;
    }
    for (const v of reads) if (lastRead.get(v) === i) live.delete(v);
    for (const v of n.outputs) if (v && (lastRead.get(v) ?? -1) > i) live.add(v);
    const [only] = live;
    if (hasMatrix && live.size === 1 && !main.isOutput(only!)) candidate = only!;
  });
  return ends;
}
