import {
  attribute,
  type DType,
  elementCount,
  intAttribute,
  intsAttribute,
  type Node,
  type ResidentTensor,
  type Tensor,
} from "@pare/core";
import { numbersOf, tensorOf } from "@pare/ops/numeric";
import { reshaped } from "@pare/ops/weights";
import type { BuiltinOperator } from "../format/options.ts";
import { transposed } from "./constant.ts";
import { type Arg, hasOrders, movesNothing, type Order, type Step, type Val } from "./program.ts";

/** What a lowering cannot express: the reason, and the smallest change that would help. */
export class Refusal extends Error {
  readonly hint: string | undefined;
  constructor(reason: string, hint?: string) {
    super(reason);
    this.hint = hint;
  }
}

export const refuse = (reason: string, hint?: string): never => {
  throw new Refusal(reason, hint);
};

export interface Result {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly order?: Order;
}

/** Where steps of one node go. */
export interface Sink {
  readonly steps: Step[];
  /** Whether the batch stays open, so that no operator may be told a shape in which it is. */
  readonly openBatch: boolean;
  fresh(shape: readonly number[], dtype: DType, data?: Tensor): Val;
}

/** What a lowering is given: the node, its values, and words to say it in. */
export class Context {
  readonly node: Node;
  readonly #inputs: readonly (Val | undefined)[];
  readonly #sink: Sink;
  readonly results: (Val | undefined)[] = [];
  /** Shape of an output as inference knows it. */
  readonly inferred: (output: number) => readonly number[] | undefined;

  constructor(node: Node, inputs: readonly (Val | undefined)[], sink: Sink, inferred: Context["inferred"]) {
    this.node = node;
    this.#inputs = inputs;
    this.#sink = sink;
    this.inferred = inferred;
  }

  get sink(): Sink {
    return this.#sink;
  }
  /** The same node, with steps that go elsewhere. */
  within(sink: Sink): Context {
    return new Context(this.node, this.#inputs, sink, this.inferred);
  }
  get inputs(): readonly (Val | undefined)[] {
    return this.#inputs;
  }
  in(i: number): Val {
    return this.#inputs[i] ?? refuse(`its input ${i} is missing`);
  }
  maybe(i: number): Val | undefined {
    return this.#inputs[i];
  }
  give(i: number, v: Val): void {
    this.results[i] = v;
  }
  wants(i: number): boolean {
    return Boolean(this.node.outputs[i]);
  }

  int(name: string, fallback: number): number {
    return intAttribute(this.node, name, fallback);
  }
  intList(name: string): readonly number[] | undefined {
    return intsAttribute(this.node, name);
  }
  float(name: string, fallback: number): number {
    return attribute(this.node, name, "float") ?? fallback;
  }
  text(name: string, fallback: string): string {
    return String(attribute(this.node, name, "string") ?? fallback);
  }

  /** The numbers of a constant that is in memory. */
  numbers(v: Val | undefined): number[] | undefined {
    return v?.data?.bytes ? [...numbersOf(v.data as ResidentTensor)] : undefined;
  }
  /** The numbers of an input that must be constant. */
  constants(i: number, what: string): number[] {
    return (
      this.numbers(this.#inputs[i]) ?? refuse(`its ${what} is known only when it runs`, `Make its ${what} a constant.`)
    );
  }

  /** Adds a builtin operator with one output. */
  add(
    code: BuiltinOperator,
    inputs: readonly (Val | Arg | undefined)[],
    result: Result,
    options: Step["options"] = {},
  ): Val {
    return this.addMany(code, inputs, [result], options)[0]!;
  }
  addMany(
    code: BuiltinOperator,
    inputs: readonly (Val | Arg | undefined)[],
    results: readonly Result[],
    options: Step["options"] = {},
    graphs?: Step["graphs"],
  ): Val[] {
    const outputs = results.map(({ shape, dtype, order }) => {
      if (shape.some((d) => d <= 0)) refuse("a value has no elements", "Give shapes in which no dimension is 0.");
      return { value: this.#sink.fresh(shape, dtype), ...(order ? { order } : {}) };
    });
    const args = inputs.map((v) => (v === undefined ? undefined : "value" in v ? v : { value: v }));
    this.#sink.steps.push({ code, inputs: args, outputs, options, node: this.node, graphs });
    return outputs.map((o) => o.value);
  }

  constant(t: Tensor): Val {
    return this.#sink.fresh(t.shape, t.dtype, t);
  }
  full(dtype: DType, shape: readonly number[], values: ArrayLike<number> | number): Val {
    const all = typeof values === "number" ? new Float64Array(elementCount(shape)).fill(values) : values;
    return this.constant(tensorOf(dtype, shape, all));
  }
  ints(values: readonly number[]): Val {
    return this.full("int32", [values.length], values);
  }
  /** A scalar of the type of `like`. */
  scalar(value: number, like: Val | DType): Val {
    return this.full(typeof like === "string" ? like : like.dtype, [], [value]);
  }

  unary(code: BuiltinOperator, x: Val, options: Step["options"] = {}): Val {
    return this.add(code, [x], { shape: x.shape, dtype: x.dtype }, options);
  }
  binary(code: BuiltinOperator, a: Val, b: Val, dtype: DType = a.dtype, options: Step["options"] = {}): Val {
    return this.add(code, [a, b], { shape: broadcast(a.shape, b.shape), dtype }, options);
  }
  cast(x: Val, dtype: DType): Val {
    if (x.dtype === dtype) return x;
    const known = x.dtype === "int32" && dtype === "int64" ? this.numbers(x) : undefined;
    if (known) return this.full(dtype, x.shape, known);
    return this.add("CAST", [x], { shape: x.shape, dtype });
  }
  select(condition: Val, a: Val, b: Val): Val {
    const shape = broadcast(condition.shape, broadcast(a.shape, b.shape));
    return this.add("SELECT_V2", [condition, a, b], { shape, dtype: a.dtype });
  }
  reshape(x: Val, shape: readonly number[]): Val {
    if (`${x.shape}` === `${shape}` && x.shape.length === shape.length) return x;
    if (elementCount(shape) !== elementCount(x.shape)) refuse(`[${x.shape}] cannot become [${shape}]`);
    if (x.data) return this.constant(reshaped(x.data, shape));
    return this.add("RESHAPE", [x, this.ints(shape)], { shape, dtype: x.dtype }, { new_shape: shape });
  }
  /** A change of shape that leaves channels last: `shape` is in the order of the source. */
  reshapeLast(x: Val, shape: readonly number[]): Val {
    if (x.data) return this.constant(reshaped(x.data, shape));
    const stored = [shape[0]!, ...shape.slice(2), shape[1]!];
    return this.add(
      "RESHAPE",
      [{ value: x, order: "last" }, this.ints(stored)],
      { shape, dtype: x.dtype, order: "last" },
      { new_shape: stored },
    );
  }
  transpose(x: Val, perm: readonly number[]): Val {
    const shape = perm.map((axis) => x.shape[axis]!);
    if (perm.every((axis, i) => axis === i)) return x;
    if (x.data) return this.constant(transposed(x.data, perm));
    if (movesNothing(x.shape, perm)) return this.reshape(x, shape);
    return this.add("TRANSPOSE", [x, this.ints(perm)], { shape, dtype: x.dtype });
  }
  concat(given: readonly Val[], axis: number): Val {
    const full = given.filter((v) => v.shape[axis] !== 0);
    const parts = full.length > 0 ? full : given.slice(0, 1);
    if (parts.length === 1) return parts[0]!;
    const [first] = parts as [Val];
    const shape = first.shape.map((d, i) => (i === axis ? parts.reduce((sum, p) => sum + p.shape[axis]!, 0) : d));
    return this.add("CONCATENATION", parts, { shape, dtype: first.dtype }, { axis });
  }
  slice(x: Val, begin: readonly number[], size: readonly number[]): Val {
    if (begin.every((b) => b === 0) && size.every((s, i) => s === x.shape[i])) return x;
    return this.add("SLICE", [x, this.ints(begin), this.ints(size)], { shape: size, dtype: x.dtype });
  }
  /** A part along one dimension, every `step`th element. */
  part(x: Val, axis: number, start: number, size: number, step = 1): Val {
    if (step === 1)
      return this.slice(
        x,
        x.shape.map((_, i) => (i === axis ? start : 0)),
        x.shape.map((d, i) => (i === axis ? size : d)),
      );
    return this.strided(
      x,
      x.shape.map((_, i) => (i === axis ? start : 0)),
      x.shape.map((d, i) => (i === axis ? size : d)),
      x.shape.map((_, i) => (i === axis ? step : 1)),
    );
  }
  strided(x: Val, begin: readonly number[], size: readonly number[], steps: readonly number[]): Val {
    const ends = begin.map((b, i) => Math.min(x.shape[i]!, b + (size[i]! - 1) * steps[i]! + 1));
    return this.add("STRIDED_SLICE", [x, this.ints(begin), this.ints(ends), this.ints(steps)], {
      shape: size,
      dtype: x.dtype,
    });
  }
  reverse(x: Val, axis: number): Val {
    return this.add("REVERSE_V2", [x, this.ints([axis])], { shape: x.shape, dtype: x.dtype });
  }
  /** Adds elements at both ends of each dimension: 0, or `value`. */
  pad(x: Val, before: readonly number[], after: readonly number[], value = 0): Val {
    if (before.every((p) => p === 0) && after.every((p) => p === 0)) return x;
    const shape = x.shape.map((d, i) => d + before[i]! + after[i]!);
    const pads = this.full(
      "int32",
      [shape.length, 2],
      shape.flatMap((_, i) => [before[i]!, after[i]!]),
    );
    if (value === 0) return this.add("PAD", [x, pads], { shape, dtype: x.dtype });
    return this.add("PADV2", [x, pads, this.full(x.dtype, [], [value])], { shape, dtype: x.dtype });
  }
  reduce(code: BuiltinOperator, x: Val, axes: readonly number[], keep: boolean, dtype: DType = x.dtype): Val {
    const kept = x.shape.map((d, i) => (axes.includes(i) ? 1 : d));
    if (axes.length === 0) return x;
    const shape = keep ? kept : x.shape.filter((_, i) => !axes.includes(i));
    return this.add(code, [x, this.ints(axes)], { shape, dtype }, { keep_dims: keep });
  }
  expand(x: Val, shape: readonly number[]): Val {
    if (`${x.shape}` === `${shape}` && x.shape.length === shape.length) return x;
    return this.add("BROADCAST_TO", [x, this.ints(shape)], { shape, dtype: x.dtype });
  }
  gather(x: Val, indices: Val, axis: number): Val {
    const shape = [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)];
    return this.add("GATHER", [x, indices], { shape, dtype: x.dtype }, { axis, batch_dims: 0 });
  }
  /** The product of [..., M, K] and [..., K, N], float32. */
  matmul(a: Val, b: Val, options: { readonly adj_x?: boolean; readonly adj_y?: boolean } = {}): Val {
    const batch = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2));
    const rows = options.adj_x ? a.shape.at(-1)! : a.shape.at(-2)!;
    const columns = options.adj_y ? b.shape.at(-2)! : b.shape.at(-1)!;
    if (batch.length > 3) {
      // BATCH_MATMUL takes 5 dimensions at most.
      const flat = (v: Val): Val => {
        const whole = this.expand(v, [...batch, ...v.shape.slice(-2)]);
        return this.reshape(whole, [elementCount(batch), ...v.shape.slice(-2)]);
      };
      return this.reshape(this.matmul(flat(a), flat(b), options), [...batch, rows, columns]);
    }
    const shape = [...batch, rows, columns];
    return this.add("BATCH_MATMUL", [a, b], { shape, dtype: a.dtype }, options);
  }
  /** x W^T + bias over the last dimension of x; W [out, in]. */
  dense(x: Val, weight: Val, bias?: Val): Val {
    const shape = [...x.shape.slice(0, -1), weight.shape[0]!];
    const inputs = [x, weight, bias ?? this.full("float32", [weight.shape[0]!], 0)];
    return this.add(
      "FULLY_CONNECTED",
      inputs,
      { shape, dtype: x.dtype },
      shape.length === 2 ? {} : { keep_num_dims: true },
    );
  }
}

/** An operand that lies with channels last. */
export const last = (value: Val): Arg => (hasOrders(value) ? { value, order: "last" } : { value });

export function broadcast(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const [x, y] = [a[a.length - rank + i] ?? 1, b[b.length - rank + i] ?? 1];
    if (x !== y && x !== 1 && y !== 1) refuse(`[${a}] and [${b}] do not go together`);
    return x === 1 ? y : x;
  });
}

/** One node in TFLite's words: gives a value for each output that is wanted. */
export type Lowering = (c: Context) => void;
export type Lowerings = Readonly<Record<string, Lowering>>;

/** A dimension that counts from the end where it is negative. */
export function axisOf(axis: number, rank: number): number {
  const found = axis < 0 ? axis + rank : axis;
  return found >= 0 && found < rank ? found : refuse(`it has no dimension ${axis}`);
}
