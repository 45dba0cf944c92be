import { elementCount, type ResidentTensor, tensor } from "@pare/core";
import { numbersOf } from "@pare/ops/numeric";
import {
  operator,
  type TfliteGraph,
  type TfliteModel,
  type TfliteOperator,
  type TfliteTensor,
} from "../format/model.ts";
import { int32 } from "./constant.ts";

/** Two sizes of a batch at which a model is lowered: primes, so that they are hardly ever the size of something else. */
export const batchSizes = [11, 13] as const;

/** What keeps the batch from staying open, and the value where it shows. */
export class FixedBatch extends Error {
  readonly value: string;
  constructor(reason: string, value: string) {
    super(reason);
    this.value = value;
  }
}

/**
 * One model for batches of any size out of one that was lowered for both of {@link batchSizes}: what differs between the two
 * follows from the batch. Dimensions that do are -1 in `shape_signature`, and as for a batch of one in `shape`. A shape that
 * an operator is told says -1 or nothing there. What is repeated along the batch is chosen by a condition of the batch's
 * length, the same both ways: that broadcasts without being told a shape.
 * @throws FixedBatch
 */
export function withOpenBatch(small: TfliteModel, large: TfliteModel): TfliteModel {
  const graphs = small.graphs.map((g, i) => new Merging(g, large.graphs[i]!).graph());
  const graph = graphs[0]!;
  const signatures = small.signatures.map((s) => ({
    ...s,
    inputs: s.inputs.map(({ name }, i) => ({ name, tensor: graph.inputs[i]! })),
    outputs: s.outputs.map(({ name }, i) => ({ name, tensor: graph.outputs[i]! })),
  }));
  return { ...small, graphs, signatures };
}

/** A number that is the same for any batch, or, where it is open, that for a batch of one, of which it is a multiple. */
interface Size {
  readonly size: number;
  readonly open: boolean;
}

/** Operators with an operand that is a shape: which it is. */
const shapeOperands: ReadonlyMap<unknown, number> = new Map([
  ["RESHAPE", 1],
  ["SLICE", 2],
  ["STRIDED_SLICE", 2],
  ["BROADCAST_TO", 1],
]);

/** TFLite 2.9 ends the program where it broadcasts more. */
const MOST_DIMENSIONS = 4;

class Merging {
  /** The graph for the small batch, and for the large one. */
  readonly #a: TfliteGraph;
  readonly #b: TfliteGraph;
  readonly #tensors: TfliteTensor[];
  readonly #operators: TfliteOperator[] = [];
  /** Conditions by rank and axis. */
  readonly #conditions = new Map<string, number>();
  /** What stands for constants that repeat themselves along the batch. */
  readonly #repeated = new Map<number, number>();

  constructor(a: TfliteGraph, b: TfliteGraph) {
    this.#a = a;
    this.#b = b;
    if (a.tensors.length !== b.tensors.length || a.operators.length !== b.operators.length)
      this.#differs(a.outputs[0]!);
    this.#tensors = a.tensors.map((t, i) => (t.data ? t : typed(t, this.#shape(i))));
    a.operators.forEach((o, i) => {
      this.#merge(o, b.operators[i]!);
    });
  }

  graph(): TfliteGraph {
    return compact({ ...this.#a, tensors: this.#tensors, operators: this.#operators });
  }

  #fail(reason: string, index: number): never {
    throw new FixedBatch(reason, this.#a.tensors[index]?.name ?? "");
  }
  #differs(index: number): never {
    return this.#fail("it is computed in another way for another batch", index);
  }

  #sizes(p: readonly number[], q: readonly number[], index: number): readonly Size[] {
    if (p.length !== q.length) this.#differs(index);
    return p.map((d, i) => {
      if (d === q[i]) return { size: d, open: false };
      const size = d / batchSizes[0];
      if (!Number.isInteger(size) || size !== q[i]! / batchSizes[1])
        this.#fail(`its sizes [${p}] and [${q}] for batches of ${batchSizes.join(" and ")} are no multiples`, index);
      return { size, open: true };
    });
  }
  #shape(index: number): readonly Size[] {
    return this.#sizes(this.#a.tensors[index]!.shape, this.#b.tensors[index]!.shape, index);
  }
  #data(index: number): readonly [ResidentTensor, ResidentTensor] | undefined {
    const [p, q] = [this.#a, this.#b].map((g) => g.tensors[index]?.data as ResidentTensor | undefined);
    return p && q ? [p, q] : undefined;
  }

  #push(t: TfliteTensor): number {
    return this.#tensors.push(t) - 1;
  }
  #ints(name: string, values: readonly number[]): number {
    return this.#push(int32(name, values));
  }
  /** Adds a value and the operator that gives it. */
  #give(
    name: string,
    type: TfliteTensor["type"],
    sizes: readonly Size[],
    make: (out: number) => TfliteOperator,
  ): number {
    const out = this.#push(typed({ name, type, shape: [], has_rank: true }, sizes));
    this.#operators.push(make(out));
    return out;
  }

  #merge(o: TfliteOperator, other: TfliteOperator): void {
    const [out] = o.outputs as [number];
    if (o.code.builtin !== other.code.builtin || `${o.inputs}` !== `${other.inputs}`) this.#differs(out);
    const at = shapeOperands.get(o.code.builtin);
    const told = at === undefined ? undefined : this.#data(o.inputs[at]!);
    const numbers = told && this.#sizes(intsOf(told[0]), intsOf(told[1]), o.inputs[at!]!);
    if (numbers?.some((s) => s.open)) {
      if (o.code.builtin === "RESHAPE") this.#reshape(o, numbers);
      else if (o.code.builtin === "BROADCAST_TO") this.#broadcast(o);
      else this.#cut(o, numbers);
      return;
    }
    if (JSON.stringify(o.builtin_options) !== JSON.stringify(other.builtin_options)) this.#differs(out);
    this.#operators.push({ ...o, inputs: o.inputs.map((i) => this.#operand(i)) });
  }

  /** A value as an operand: a constant that only repeats itself along the batch is held once, and repeated. */
  #operand(index: number): number {
    const data = this.#data(index);
    if (!data || data[0] === data[1]) return index;
    const [p, q] = data;
    const sizes = this.#shape(index);
    const axis = sizes.findIndex((s) => s.open);
    if (axis < 0) {
      // What is not in memory comes from weights, which are the same.
      if (p.bytes && q.bytes && !areEqual(p.bytes, q.bytes)) this.#fail("what it holds depends on the batch", index);
      return index;
    }
    const known = this.#repeated.get(index);
    if (known !== undefined) return known;
    if (!p.bytes || !q.bytes) this.#fail("it is stored for one batch", index);
    const one = firstAlong(p, axis);
    const isRepeated = data.every((t) => repeats(t, one, axis));
    if (!isRepeated || sizes[axis]!.size !== 1 || sizes.filter((s) => s.open).length > 1)
      this.#fail("what it holds depends on the batch", index);
    if (sizes.length > MOST_DIMENSIONS) this.#fail(`it has more than ${MOST_DIMENSIONS} dimensions`, index);
    const given = this.#a.tensors[index]!;
    const held = this.#push({ ...given, name: `${given.name}/one`, shape: one.shape, data: one });
    const condition = this.#condition(sizes.length, axis);
    const made = this.#give(given.name, given.type, sizes, (out) =>
      operator("SELECT_V2", [condition, held, held], [out]),
    );
    this.#repeated.set(index, made);
    return made;
  }

  /** A condition whose only dimension of more than one is the batch, at `axis`. */
  #condition(rank: number, axis: number): number {
    const key = `${rank},${axis}`;
    const known = this.#conditions.get(key);
    if (known !== undefined) return known;
    const input = this.#a.inputs.find((i) => this.#shape(i)[0]?.open);
    if (input === undefined) return this.#fail("no input of its graph has the batch", this.#a.outputs[0]!);
    const { type, shape } = this.#tensors[input]!;
    const line = (length: number, at: number) => Array.from({ length }, (_, i): Size => ({ size: 1, open: i === at }));
    const name = `batch/${key}`;
    const zeros = shape.map(() => 0);
    const ones = shape.map(() => 1);
    const bounds = [zeros, ones, ones].map((values, i) => this.#ints(`${name}/${i}`, values));
    const first = this.#give(`${name}/first`, type, line(shape.length, 0), (out) =>
      operator("STRIDED_SLICE", [input, ...bounds], [out], { end_mask: 1 }),
    );
    const to = line(rank, axis).map((s) => (s.open ? -1 : 1));
    const turned = this.#give(`${name}/turned`, type, line(rank, axis), (out) =>
      operator("RESHAPE", [first, this.#ints(`${name}/shape`, to)], [out], { new_shape: to }),
    );
    const made = this.#give(name, "BOOL", line(rank, axis), (out) => operator("CAST", [turned], [out]));
    this.#conditions.set(key, made);
    return made;
  }

  #reshape(o: TfliteOperator, numbers: readonly Size[]): void {
    const [x, shape] = o.inputs as [number, number];
    if (numbers.filter((s) => s.open).length > 1)
      this.#fail("two of its dimensions grow with the batch", o.outputs[0]!);
    const to = numbers.map((s) => (s.open ? -1 : s.size));
    const operands = [this.#operand(x), this.#ints(`${this.#a.tensors[shape]!.name}/open`, to)];
    this.#operators.push(operator("RESHAPE", operands, o.outputs, { new_shape: to }));
  }

  #broadcast(o: TfliteOperator): void {
    const [x, out] = [o.inputs[0]!, o.outputs[0]!];
    const [from, to] = [this.#shape(x), this.#shape(out)];
    if (to.length > MOST_DIMENSIONS) this.#fail(`it is broadcast to more than ${MOST_DIMENSIONS} dimensions`, out);
    const isOpenAlready = (axis: number) => from[axis - to.length + from.length]?.open;
    const grown = [...to.keys()].filter((axis) => to[axis]!.open && !isOpenAlready(axis));
    if (grown.length > 1 || grown.some((axis) => to[axis]!.size !== 1))
      this.#fail("it is repeated along more than the batch", out);
    const { name } = this.#a.tensors[out]!;
    const shape = to.map((s) => (s.open ? 1 : s.size));
    const data = tensor("bool", shape, new Uint8Array(elementCount(shape)).fill(1));
    let condition = this.#push({ name: `${name}/whole`, type: "BOOL", shape, has_rank: true, data });
    if (grown.length > 0) {
      const sizes = shape.map((size, axis): Size => ({ size, open: axis === grown[0] }));
      const both = [this.#condition(to.length, grown[0]!), condition];
      condition = this.#give(`${name}/chosen`, "BOOL", sizes, (made) => operator("LOGICAL_AND", both, [made]));
    }
    const value = this.#operand(x);
    this.#operators.push(operator("SELECT_V2", [condition, value, value], o.outputs));
  }

  /**
   * SLICE and STRIDED_SLICE, which must reach the end of the batch. Both are the latter afterwards: where SLICE says -1, XNNPACK
   * keeps what it meant for the first batch.
   */
  #cut(o: TfliteOperator, numbers: readonly Size[]): void {
    const [x, begin, end] = o.inputs as [number, number, number];
    const { shape } = this.#a.tensors[x]!;
    const ints = (index: number) => intsOf(this.#a.tensors[index]!.data as ResidentTensor);
    const starts = ints(begin);
    const isSlice = o.code.builtin === "SLICE";
    const ends = ints(end).map((n, i) => (isSlice ? starts[i]! + n : n));
    const open = [...numbers.keys()].filter((axis) => numbers[axis]!.open);
    if (open.some((axis) => ends[axis] !== shape[axis]))
      this.#fail("a part of the batch is cut out of it", o.outputs[0]!);
    const { name } = this.#a.tensors[end]!;
    const known = ends.map((n, axis) => (numbers[axis]!.open ? 0 : n));
    const steps = isSlice
      ? this.#ints(
          `${name}/steps`,
          starts.map(() => 1),
        )
      : o.inputs[3]!;
    const operands = [this.#operand(x), begin, this.#ints(`${name}/ends`, known), steps];
    const end_mask = open.reduce((mask, axis) => mask | (1 << axis), 0);
    this.#operators.push(operator("STRIDED_SLICE", operands, o.outputs, { end_mask }));
  }
}

const typed = (t: TfliteTensor, sizes: readonly Size[]): TfliteTensor => ({
  ...t,
  shape: sizes.map((s) => s.size),
  ...(sizes.some((s) => s.open) ? { shape_signature: sizes.map((s) => (s.open ? -1 : s.size)) } : {}),
});

const intsOf = (t: ResidentTensor): number[] => [...numbersOf(t)].map(Number);

const areEqual = (p: Uint8Array, q: Uint8Array) => p.length === q.length && p.every((v, i) => v === q[i]);

/** The first element along an axis. */
function firstAlong(t: ResidentTensor, axis: number): ResidentTensor {
  const shape = t.shape.map((d, i) => (i === axis ? 1 : d));
  const outer = elementCount(t.shape.slice(0, axis));
  const [all, each] = [t.bytes.length / outer, t.bytes.length / outer / t.shape[axis]!];
  const bytes = new Uint8Array(outer * each);
  for (let i = 0; i < outer; i++) bytes.set(t.bytes.subarray(i * all, i * all + each), i * each);
  return tensor(t.dtype, shape, bytes);
}

/** Whether a value is `one` as often as it is long along the axis. */
function repeats(t: ResidentTensor, one: ResidentTensor, axis: number): boolean {
  const [outer, length] = [elementCount(t.shape.slice(0, axis)), t.shape[axis]!];
  const each = one.bytes.length / outer;
  return t.bytes.every((v, i) => v === one.bytes[Math.floor(i / each / length) * each + (i % each)]);
}

/** The graph without tensors that nothing uses. */
function compact(graph: TfliteGraph): TfliteGraph {
  const { inputs, outputs, operators } = graph;
  const used = [...new Set([...inputs, ...operators.flatMap((o) => [...o.inputs, ...o.outputs]), ...outputs])];
  const places = new Map([[-1, -1], ...used.filter((i) => i >= 0).map((i, at): [number, number] => [i, at])]);
  const moved = (list: readonly number[]) => list.map((i) => places.get(i)!);
  return {
    ...graph,
    tensors: used.filter((i) => i >= 0).map((i) => graph.tensors[i]!),
    inputs: moved(inputs),
    outputs: moved(outputs),
    operators: operators.map((o) => ({ ...o, inputs: moved(o.inputs), outputs: moved(o.outputs) })),
  };
}
