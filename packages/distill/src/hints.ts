/** Inner values of the student beside those of the teacher. */
import { attr, type Dim, type Edit, edit, failure, type Model, node, tensor, type Values, viewOf } from "@pare/core";
import { inferTypes } from "@pare/ops/infer";
import { seeded } from "@pare/ops/numeric";
import { type Loss, meanSquaredError } from "@pare/train";
import { type Pair, teacherValue } from "./losses.ts";

export interface Hint extends Pair {
  /** How much it counts beside the loss. Default 1. */
  readonly weight?: number;
}

export interface Projected {
  readonly model: Model;
  readonly losses: readonly (readonly [number, Loss])[];
  /** Names of the weights that project. */
  readonly weights: readonly string[];
}

/**
 * Adds to a student what turns its values into the teacher's size: a convolution for [N, C, …], whose kernel is as large as the
 * places differ, a matrix for [N, features] and [N, tokens, features]. They are trained with it. (FitNets, Romero et al. 2015,
 * arXiv:1412.6550.)
 * @param batch inputs and the teacher's values, from which all sizes are known
 * @throws PareError `distill/hint`
 */
export function withProjections(model: Model, hints: readonly Hint[], batch: Values, seed: number): Projected {
  const losses: [number, Loss][] = [];
  const weights: string[] = [];
  const shapeOf = shapesIn(model, batch);
  const projected = edit(model, (e) => {
    const outputs = [...model.graph.outputs];
    for (const hint of hints) {
      const { student, teacher = student, weight = 1 } = hint;
      const [from, to] = [shapeOf(student), batch[teacherValue(teacher)]!.shape];
      const name = e.fresh(`hint_${student}`);
      weights.push(...project(e, student, name, from, to, seed));
      outputs.push({ name });
      losses.push([weight, meanSquaredError({ output: name, target: teacherValue(teacher) })]);
    }
    e.setGraph(e.view.main, { outputs });
  });
  return { model: projected, losses, weights };
}

/** Shapes of a model's values for a batch. */
export function shapesIn(model: Model, batch: Values): (value: string) => readonly number[] {
  const inputs = new Map(
    model.graph.inputs.flatMap(({ name }): [string, readonly Dim[]][] =>
      batch[name] ? [[name, batch[name]!.shape]] : [],
    ),
  );
  const { main } = viewOf(model);
  const types = inferTypes(model, { inputs });
  return (v) => {
    if (!main.definer(v)) throw failure("distill/hint", "the student has no such value", { location: { value: v } });
    const type = types.of(main, v);
    const shape = type?.kind === "tensor" ? type.shape : undefined;
    if (!shape?.every((d) => typeof d === "number"))
      throw failure("distill/hint", `its shape is not known: ${types.reason(main, v) ?? "it is no tensor"}`, {
        location: { value: v },
      });
    return shape as readonly number[];
  };
}

function project(
  e: Edit,
  value: string,
  output: string,
  from: readonly number[],
  to: readonly number[],
  seed: number,
): string[] {
  const said = `of the student is [${from}], of the teacher [${to}]`;
  const refuse = (why: string): never => {
    throw failure("distill/hint", `the value ${said}: ${why}`, { location: { value } });
  };
  if (from.length !== to.length || from.length < 2) return refuse("they need as many dimensions, and two at least");
  const isImage = from.length > 3;
  const [inputs, outputs] = isImage ? [from[1]!, to[1]!] : [from.at(-1)!, to.at(-1)!];
  const kernel = isImage ? from.slice(2).map((d, i) => d - to[i + 2]! + 1) : [];
  if (kernel.some((k) => k < 1)) return refuse("the student's has fewer places; take one that comes earlier");
  if (!isImage && from.length === 3 && from[1] !== to[1]) return refuse("they have other numbers of tokens");
  const shape = isImage ? [outputs, inputs, ...kernel] : [inputs, outputs];
  const fan = inputs * kernel.reduce((n, k) => n * k, 1);
  const random = seeded(seed);
  const limit = Math.sqrt(3 / fan);
  const count = shape.reduce((n, d) => n * d, 1);
  const numbers = Float32Array.from({ length: count }, () => limit * (2 * random() - 1));
  const { main } = e.view;
  const w = e.addWeight(main, e.fresh(`${output}_weight`), tensor("float32", shape, numbers));
  const b = e.addWeight(main, e.fresh(`${output}_bias`), tensor("float32", [outputs], new Float32Array(outputs)));
  if (isImage) e.insert(main, [node("Conv", [value, w, b], [output], { kernel_shape: attr.ints(kernel) })]);
  else {
    const product = e.fresh(`${output}_product`);
    e.insert(main, [node("MatMul", [value, w], [product]), node("Add", [product, b], [output])]);
  }
  return [w, b];
}

/** A student whose inner values `names` are outputs too, as losses need them. */
export function exposing(model: Model, names: readonly string[]): Model {
  const { main } = viewOf(model);
  const inner = names.filter((v) => main.producer(v) && !main.isOutput(v));
  if (inner.length === 0) return model;
  const outputs = [...model.graph.outputs, ...[...new Set(inner)].map((name) => ({ name }))];
  return edit(model, (e) => e.setGraph(main, { outputs }));
}
