import { attr } from "@pare/core";
import type { Builder, Lower } from "../lower/builder.ts";

/** One activation of a recurrent cell in an operator of its name. */
type Activate = (x: string) => string;

/** The parts of one direction of a recurrent layer. */
interface Direction {
  readonly b: Builder;
  readonly index: number;
  readonly hidden: number;
  readonly activations: readonly Activate[];
  /** W [gates * hidden, size] and R [gates * hidden, hidden], and each one's biases [gates * hidden]. */
  readonly w: string;
  readonly r: string;
  readonly wb: string | undefined;
  readonly rb: string | undefined;
  /** The input of the layer by its position. */
  part(input: number): string | undefined;
}

interface State {
  readonly h: string;
  readonly c?: string | undefined;
}

/** From W x + its bias [batch, gates * hidden] and the state to the next state. */
type Cell = (d: Direction, gates: string, state: State) => State;

const mul = (b: Builder, p: string, q: string) => b.add("Mul", [p, q]);
const sum = (b: Builder, p: string, q: string) => b.add("Add", [p, q]);

function parts(b: Builder, v: string, count: number): string[] {
  const names = Array.from({ length: count }, () => b.fresh("gate"));
  b.add("Split", [v], { axis: attr.int(-1), num_outputs: attr.int(count) }, names);
  return names;
}

const product = (d: Direction, h: string, r: string, bias: string | undefined) =>
  d.b.add("Gemm", [h, r, bias], { transB: attr.int(1) });

const rnnCell: Cell = (d, gates, { h }) => ({
  h: d.activations[0]!(sum(d.b, gates, product(d, h, d.r, d.rb))),
});

/** Gates come in the order input, output, forget, cell. */
const lstmCell: Cell = (d, gates, { h, c }) => {
  const { b, activations } = d;
  const [i, o, f, g] = parts(b, sum(b, gates, product(d, h, d.r, d.rb)), 4) as [string, string, string, string];
  const peeps = d.part(7);
  const holes = peeps === undefined ? undefined : parts(b, peeps, 3);
  const peeped = (v: string, k: number, cell: string) => (holes ? sum(b, v, mul(b, holes[k]!, cell)) : v);
  const input = activations[0]!(peeped(i, 0, c!));
  const forget =
    b.intOf("input_forget", 0) === 1
      ? b.add("Sub", [b.float(1, b.dtype(i)), input])
      : activations[0]!(peeped(f, 2, c!));
  const cell = sum(b, mul(b, forget, c!), mul(b, input, activations[1]!(g)));
  return { h: mul(b, activations[0]!(peeped(o, 1, cell)), activations[2]!(cell)), c: cell };
};

/** Gates come in the order update, reset, hidden. */
const gruCell: Cell = (d, gates, { h }) => {
  const { b, activations, hidden } = d;
  const [wz, wr, wh] = parts(b, gates, 3) as [string, string, string];
  const rows = (v: string, from: number, to: number) =>
    b.add("Slice", [v, b.ints([from * hidden]), b.ints([to * hidden]), b.ints([0])]);
  const bias = (from: number, to: number) => (d.rb === undefined ? undefined : rows(d.rb, from, to));
  const [rz, rr] = parts(b, product(d, h, rows(d.r, 0, 2), bias(0, 2)), 2) as [string, string];
  const update = activations[0]!(sum(b, wz, rz));
  const reset = activations[0]!(sum(b, wr, rr));
  const last = rows(d.r, 2, 3);
  const candidate =
    b.intOf("linear_before_reset", 0) === 0
      ? product(d, mul(b, reset, h), last, bias(2, 3))
      : mul(b, reset, product(d, h, last, bias(2, 3)));
  const next = activations[1]!(sum(b, wh, candidate));
  return { h: sum(b, mul(b, b.add("Sub", [b.float(1, b.dtype(h)), update]), next), mul(b, update, h)) };
};

/** Activations of the names that ONNX gives them, with their parameters. */
function activationsOf(b: Builder, fallback: readonly string[], directions: number): Activate[] {
  const given = b.attribute("activations", "strings")?.map(String);
  const names = given ?? Array.from({ length: directions }, () => fallback).flat();
  const [alphas, betas] = ["activation_alpha", "activation_beta"].map((name) => [
    ...(b.attribute(name, "floats") ?? []),
  ]) as [number[], number[]];
  const clip = b.attribute("clip", "float");
  return names.map((name) => {
    const key = name.toLowerCase();
    const plain = new Map([
      ["sigmoid", "Sigmoid"],
      ["tanh", "Tanh"],
      ["relu", "Relu"],
      ["softsign", "Softsign"],
      ["softplus", "Softplus"],
    ]).get(key);
    const one = new Map([
      ["leakyrelu", ["LeakyRelu", 0.01] as const],
      ["elu", ["Elu", 1] as const],
      ["thresholdedrelu", ["ThresholdedRelu", 1] as const],
    ]).get(key);
    const alpha = one ? (alphas.shift() ?? one[1]) : 0;
    const hard = key === "hardsigmoid" ? { alpha: alphas.shift() ?? 0.2, beta: betas.shift() ?? 0.5 } : undefined;
    const line =
      key === "affine" || key === "scaledtanh"
        ? { alpha: alphas.shift() ?? 1, beta: betas.shift() ?? (key === "affine" ? 0 : 1) }
        : undefined;
    if (!plain && !one && !hard && !line) b.refuse(`it has an activation ${name}`);
    return (x) => {
      const dtype = b.dtype(x);
      const v = clip === undefined ? x : b.add("Clip", [x, b.float(-clip, dtype), b.float(clip, dtype)]);
      if (plain) return b.add(plain, [v]);
      if (one) return b.add(one[0], [v], { alpha: attr.float(alpha) });
      if (hard) return b.add("HardSigmoid", [v], { alpha: attr.float(hard.alpha), beta: attr.float(hard.beta) });
      const { alpha: p, beta: q } = line!;
      if (key === "affine") return sum(b, mul(b, v, b.float(p, dtype)), b.float(q, dtype));
      return mul(b, b.add("Tanh", [mul(b, v, b.float(q, dtype))]), b.float(p, dtype));
    };
  });
}

/** A recurrent layer as the steps that it takes, in operators that have gradients. The number of steps must be known. */
const unrolled =
  (cell: Cell, gates: number, states: number, fallback: readonly string[]): Lower =>
  (b) => {
    const x = b.input(0)!;
    const byBatch = b.intOf("layout", 0) === 1;
    const dims = b.shape(x) ?? b.refuse(`the shape of ${x} is not known`);
    const [steps, size] = [dims[byBatch ? 1 : 0], dims[2]];
    const rows = b.shape(b.input(2)!)?.[2];
    if (typeof steps !== "number" || typeof size !== "number" || typeof rows !== "number")
      return b.refuse("how many steps it takes is not known: fix the dimensions of the inputs");
    const lengths = b.input(4) && b.add("Unsqueeze", [b.cast(b.input(4)!, "int64"), b.ints([1])]);
    const hidden = rows;
    const direction = b.textOf("direction", "forward");
    const directions = direction === "bidirectional" ? 2 : 1;
    const activations = activationsOf(b, fallback, directions);
    const sequence = byBatch ? b.add("Transpose", [x], { perm: attr.ints([1, 0, 2]) }) : x;
    const flat = b.add("Reshape", [sequence, b.ints([-1, size])]);
    const slots: string[][] = Array.from({ length: steps }, () => []);
    const ends: State[] = [];
    for (let index = 0; index < directions; index++) {
      const pick = (v: string) => b.add("Gather", [v, b.int(index)]);
      const part = (input: number) => (b.input(input) === undefined ? undefined : pick(b.input(input)!));
      const bias = part(3);
      const half = (k: number) =>
        bias && b.add("Slice", [bias, b.ints([k * gates * hidden]), b.ints([(k + 1) * gates * hidden]), b.ints([0])]);
      const d: Direction = {
        b,
        index,
        hidden,
        activations: activations.slice(index * fallback.length, (index + 1) * fallback.length),
        w: part(1)!,
        r: part(2)!,
        wb: half(0),
        rb: half(1),
        part,
      };
      const all = b.add("Reshape", [
        b.add("Gemm", [flat, d.w, d.wb], { transB: attr.int(1) }),
        b.ints([steps, -1, gates * hidden]),
      ]);
      const first = (input: number) => {
        const given = b.input(input);
        if (given !== undefined) return b.add("Gather", [given, b.int(index)], { axis: attr.int(byBatch ? 1 : 0) });
        const shape = b.add("Concat", [b.dims(x, byBatch ? 0 : 1, byBatch ? 1 : 2), b.ints([hidden])], {
          axis: attr.int(0),
        });
        return b.add("Expand", [b.float(0, b.dtype(x)), shape]);
      };
      let state: State = { h: first(5), c: states > 1 ? first(6) : undefined };
      for (let t = 0; t < steps; t++) {
        const at = direction === "reverse" || index === 1 ? steps - 1 - t : t;
        const next = cell(d, b.add("Gather", [all, b.int(at)]), state);
        if (lengths === undefined) state = next;
        // After the end of a sequence its state stays, and what the layer gives is 0.
        const inside = lengths && b.add("Less", [b.int(at), lengths]);
        const choose = (yes: string, no: string) => b.add("Where", [inside, yes, no]);
        if (inside) state = { h: choose(next.h, state.h), c: next.c && choose(next.c, state.c!) };
        slots[at]!.push(inside ? choose(next.h, b.float(0, b.dtype(x))) : state.h);
      }
      ends.push(state);
    }
    const stack = (values: readonly string[], axis: number) =>
      b.add(
        "Concat",
        values.map((v) => b.add("Unsqueeze", [v, b.ints([axis])])),
        { axis: attr.int(axis) },
      );
    const [y, last, lastCell] = b.node.outputs;
    const finish = (v: string, output: string) => b.add("Identity", [v], {}, [output]);
    if (y) {
      // [steps, directions, batch, hidden], or with the batch first.
      const each = slots.map((values) => stack(values, byBatch ? 1 : 0));
      finish(stack(each, byBatch ? 1 : 0), y);
    }
    if (last)
      finish(
        stack(
          ends.map((s) => s.h),
          byBatch ? 1 : 0,
        ),
        last,
      );
    if (lastCell)
      finish(
        stack(
          ends.map((s) => s.c!),
          byBatch ? 1 : 0,
        ),
        lastCell,
      );
  };

/** Recurrent layers as what they do step by step. */
export const unrollings: Readonly<Record<string, Lower>> = {
  RNN: unrolled(rnnCell, 1, 1, ["Tanh"]),
  LSTM: unrolled(lstmCell, 4, 2, ["Sigmoid", "Tanh", "Tanh"]),
  GRU: unrolled(gruCell, 3, 1, ["Sigmoid", "Tanh"]),
};
