import { elementCount, type Node, type ResidentTensor, tensor } from "@pare/core";
import { numbersOf } from "@pare/ops/numeric";
import { transposed } from "../lower/constant.ts";
import type { Sink } from "../lower/context.ts";
import {
  type Arg,
  hasOrders,
  lastOrder,
  movesNothing,
  type Program,
  type Step,
  sourceOrder,
  type Val,
} from "../lower/program.ts";
import { type End, type PlanValue, planLayout, type Side } from "./plan.ts";
import { reordered, storedShape } from "./reorder.ts";

/** A value as it lies in memory: the same value may lie in both orders. */
export interface Placed {
  readonly value: Val;
  readonly last: boolean;
}

/** A step whose operands are placed. */
export interface PlacedStep extends Omit<Step, "inputs" | "outputs" | "node" | "graphs"> {
  /** Undefined for what an output of the model needs. */
  readonly node: Node | undefined;
  readonly inputs: readonly (Placed | undefined)[];
  readonly outputs: readonly Placed[];
  /** Graphs that it runs, whose inputs and outputs lie as in the source. */
  readonly graphs?: readonly Arranged[] | undefined;
}

/** A transposition that remains, and why. */
export interface Remaining {
  readonly value: Val;
  readonly reason: string;
  readonly elements: number;
}

export interface Arranged {
  readonly steps: readonly PlacedStep[];
  readonly inputs: readonly Placed[];
  readonly outputs: readonly { readonly name: string; readonly placed: Placed }[];
  readonly transposes: readonly Remaining[];
}

/** Moving costs its elements; of two that move as many, that with fewer transpositions is better. */
const costOf = (v: Val) => (movesNothing(v.shape, lastOrder(v.shape.length)) ? 1 : 2 + elementCount(v.shape) * 4);

const isPlanned = (v: Val) => hasOrders(v) && v.data === undefined;

/** Decides for each value in which order it lies and puts transpositions where the two meet. */
export function arrange(source: Program, sink: Sink, nhwc: boolean): Arranged {
  const program = { ...source, steps: source.steps.map(asReading) };
  const alternatives = program.steps.map((s) => reordered(s, sink));
  const operators: number[] = [];
  const numbers = alternatives.map((a, i) => (a ? operators.push(i) - 1 : -1));
  const given = (v: Val): Side => (nhwc && v.shape.length >= 4 && hasOrders(v) ? 1 : 0);
  const endOf = (arg: Arg, step: number): End => {
    if (arg.order) return { side: arg.order === "last" ? 1 : 0 };
    // A reduction may give up its order.
    const alternative = alternatives[step];
    return alternative ? { operator: numbers[step]! } : { side: 0 };
  };

  const writers = new Map<Val, End>(program.inputs.map((v) => [v, { side: given(v) }]));
  const readers = new Map<Val, End[]>();
  const read = (v: Val, end: End) => {
    const known = readers.get(v);
    if (known) known.push(end);
    else readers.set(v, [end]);
  };
  program.steps.forEach((s, i) => {
    s.outputs.forEach((arg, k) => {
      const fixed = alternatives[i]?.outputs[k]?.order;
      writers.set(arg.value, fixed ? { side: fixed === "last" ? 1 : 0 } : endOf(arg, i));
    });
    for (const arg of s.inputs) if (arg && isPlanned(arg.value)) read(arg.value, endOf(arg, i));
  });
  for (const { value } of program.outputs) if (isPlanned(value)) read(value, { side: given(value) });
  const values: PlanValue[] = [];
  for (const [v, ends] of readers) values.push({ cost: costOf(v), writer: writers.get(v)!, readers: ends });
  const sides = planLayout({ operators: operators.length, values });
  const sideOf = (end: End): Side => ("side" in end ? end.side : sides[end.operator]!);

  const steps: PlacedStep[] = [];
  const transposes: Remaining[] = [];
  const made = new Map<Val, Placed>();
  const constants = new Map<Val, Val>();
  /** Values that are the memory of others, read in another order. */
  const aliases = new Map<Val, Placed>();
  const writtenLast = (v: Val) => isPlanned(v) && sideOf(writers.get(v)!) === 1;
  const place = (v: Val, last: boolean, reader: Node | undefined, who: string): Placed => {
    if (v.data) return { value: last && hasOrders(v) ? turned(v) : v, last: false };
    const written = aliases.get(v) ?? { value: v, last: writtenLast(v) };
    if (!hasOrders(v) || writtenLast(v) === last) return written;
    let other = made.get(v);
    if (!other) {
      other = { value: v, last };
      made.set(v, other);
      const rank = v.shape.length;
      const perm = last ? lastOrder(rank) : sourceOrder(rank);
      const from = storedShape(v, !last);
      const free = movesNothing(from, perm);
      const parameter = free ? storedShape(v, last) : perm;
      steps.push({
        code: free ? "RESHAPE" : "TRANSPOSE",
        inputs: [written, { value: intsOf(sink, parameter), last: false }],
        outputs: [other],
        options: free ? { new_shape: parameter } : {},
        node: reader,
      });
      if (!free) {
        const reason = `${v.name} is ${last ? "made with channels first" : "made with channels last"}, and ${who} reads it with channels ${last ? "last" : "first"}`;
        transposes.push({ value: v, reason, elements: elementCount(v.shape) });
      }
    }
    return other;
  };
  const turned = (v: Val): Val => {
    let found = constants.get(v);
    if (!found) {
      const t = transposed(v.data!, lastOrder(v.shape.length));
      found = sink.fresh(t.shape, t.dtype, t);
      constants.set(v, found);
    }
    return found;
  };

  program.steps.forEach((s, i) => {
    const side = numbers[i]! >= 0 ? sides[numbers[i]!]! : 0;
    const said = side === 1 ? alternatives[i]! : s;
    const isLast = (arg: Arg) => (arg.order ? arg.order === "last" : side === 1);
    const name = `${s.code} of ${s.node.name || s.node.outputs[0]}`;
    const inputs = said.inputs.map((arg) => arg && place(arg.value, isLast(arg), s.node, name));
    if (s.code === "TRANSPOSE" && s.inputs[0]!.order) {
      aliases.set(s.outputs[0]!.value, inputs[0]!);
      return;
    }
    const outputs = said.outputs.map((arg) => ({ value: arg.value, last: hasOrders(arg.value) && isLast(arg) }));
    if (s.code === "TRANSPOSE") {
      const { value } = s.inputs[0]!;
      const reason = `${name} changes the order of dimensions in another way than to put channels first or last`;
      transposes.push({ value, reason, elements: elementCount(value.shape) });
    }
    // A shape that is written out is that of the result as it lies.
    if (side === 1 && (s.code === "BROADCAST_TO" || s.code === "FILL")) {
      inputs[1] = { value: intsOf(sink, storedShape(s.outputs[0]!.value, true)), last: false };
    }
    const graphs = s.graphs?.map((g) => arrange(g, sink, false));
    for (const g of graphs ?? []) transposes.push(...g.transposes);
    steps.push({ ...said, inputs, outputs, graphs });
  });
  const outputs = program.outputs.map(({ name, value }) => ({
    name,
    placed: place(value, given(value) === 1, undefined, `the output ${name}`),
  }));
  const inputs = program.inputs.map((value) => ({ value, last: given(value) === 1 }));
  return { steps, inputs, outputs, transposes };
}

const intsOf = (sink: Sink, values: readonly number[]): Val =>
  sink.fresh([values.length], "int32", tensor("int32", [values.length], [...values]));

/**
 * A transposition that puts channels last, or back, as what it is: the same memory, read in the other order. Whether anything
 * moves is then for the plan to say.
 */
function asReading(s: Step): Step {
  const [x, order] = s.inputs;
  const [y] = s.outputs;
  if (s.code !== "TRANSPOSE" || !x || !y || !hasOrders(x.value) || isConstant(x.value)) return s;
  const perm = `${numbersOf(order!.value.data as ResidentTensor)}`;
  const rank = x.value.shape.length;
  const ends = (from: "source" | "last", to: "source" | "last"): Step => ({
    ...s,
    inputs: [{ value: x.value, order: from }, order],
    outputs: [{ value: y.value, order: to }],
  });
  if (perm === `${lastOrder(rank)}`) return ends("last", "source");
  return perm === `${sourceOrder(rank)}` ? ends("source", "last") : s;
}

const isConstant = (v: Val) => v.data !== undefined;
