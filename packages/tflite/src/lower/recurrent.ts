import { attribute } from "@pare/core";
import { type Context, type Lowerings, refuse } from "./context.ts";
import { elu, minus, mul, plus, softplus, thresholdedRelu } from "./elementwise.ts";
import type { Val } from "./program.ts";

type Activation = (c: Context, x: Val) => Val;

/** Longest sequence that is written out step by step. */
const MOST_STEPS = 512;

/**
 * The activations of all directions, in order, with those in `each` for each direction where the node names none. It lists
 * parameters for those only that have them.
 */
function activationsOf(c: Context, each: readonly string[]): Activation[] {
  const directions = c.in(1).shape[0]!;
  const names = attribute(c.node, "activations", "strings") ?? Array<readonly string[]>(directions).fill(each).flat();
  const [alphas, betas] = ["activation_alpha", "activation_beta"].map((name) => [
    ...(attribute(c.node, name, "floats") ?? []),
  ]) as [number[], number[]];
  const alpha = (fallback: number) => alphas.shift() ?? fallback;
  const beta = (fallback: number) => betas.shift() ?? fallback;
  return names.map((name) => activationOf(String(name), alpha, beta));
}

type Parameter = (fallback: number) => number;

function activationOf(name: string, alpha: Parameter, beta: Parameter): Activation {
  switch (name.toLowerCase()) {
    case "sigmoid":
      return (c, x) => c.unary("LOGISTIC", x);
    case "tanh":
      return (c, x) => c.unary("TANH", x);
    case "relu":
      return (c, x) => c.unary("RELU", x);
    case "softplus":
      return softplus;
    case "softsign":
      return (c, x) => c.binary("DIV", x, plus(c, c.unary("ABS", x), 1));
    case "affine": {
      const [a, b] = [alpha(1), beta(0)];
      return (c, x) => plus(c, mul(c, x, a), b);
    }
    case "leakyrelu": {
      const a = alpha(0.01);
      return (c, x) => c.unary("LEAKY_RELU", x, { alpha: a });
    }
    case "hardsigmoid": {
      const [a, b] = [alpha(0.2), beta(0.5)];
      return (c, x) => c.binary("MINIMUM", c.unary("RELU", plus(c, mul(c, x, a), b)), c.scalar(1, x));
    }
    case "elu": {
      const a = alpha(1);
      return (c, x) => elu(c, x, a);
    }
    case "thresholdedrelu": {
      const a = alpha(1);
      return (c, x) => thresholdedRelu(c, x, a);
    }
    case "scaledtanh": {
      const [a, b] = [alpha(1), beta(1)];
      return (c, x) => mul(c, c.unary("TANH", mul(c, x, b)), a);
    }
    default:
      return refuse(`its activation ${name} is not lowered`);
  }
}

/** What happens at one step: from the product of the input and the state to the next state. */
interface Cell {
  readonly gates: number;
  /** Values that go from step to step; the first is the output. */
  step(input: Val, states: readonly Val[]): readonly Val[];
}

interface Direction {
  readonly w: Val;
  readonly r: Val;
  readonly bias: Val | undefined;
  readonly index: number;
}

function unrolled(c: Context, states: readonly (number | undefined)[], cellOf: (d: Direction) => Cell): void {
  const byBatch = c.int("layout", 0) === 1;
  const given = c.in(0);
  if (given.dtype !== "float32") refuse(`LiteRT does not compute it in ${given.dtype}`);
  const x = byBatch ? c.transpose(given, [1, 0, 2]) : given;
  const [steps, batch, width] = x.shape as [number, number, number];
  if (steps > MOST_STEPS)
    refuse(`its sequence has ${steps} steps; at most ${MOST_STEPS} are written out`, "Give a shorter sequence.");
  const hidden = c.in(2).shape[2]!;
  const lengths = c.maybe(4) && lengthsOf(c, steps);
  const direction = c.text("direction", "forward");
  const count = c.in(1).shape[0]!;
  const [all, finals]: [Val[], Val[][]] = [[], []];
  for (let d = 0; d < count; d++) {
    const backward = direction === "reverse" || d === 1;
    const one = (i: number) => c.reshape(c.part(c.in(i), 0, d, 1), c.in(i).shape.slice(1));
    const cell = cellOf({ w: one(1), r: one(2), bias: c.maybe(3) && one(3), index: d });
    let state: readonly Val[] = states.map((input) => {
      if (input === undefined || !c.maybe(input)) return c.full("float32", [batch, hidden], 0);
      const initial = byBatch ? c.transpose(c.in(input), [1, 0, 2]) : c.in(input);
      return c.reshape(c.part(initial, 0, d, 1), [batch, hidden]);
    });
    const outputs: Val[] = Array(steps);
    for (let k = 0; k < steps; k++) {
      const t = backward ? steps - 1 - k : k;
      const input = c.reshape(c.part(x, 0, t, 1), [batch, width]);
      const next = cell.step(input, state);
      if (lengths) {
        const isOn = c.binary("GREATER", lengths, c.scalar(t, "float32"), "bool");
        outputs[t] = c.select(isOn, next[0]!, c.full("float32", [batch, hidden], 0));
        state = next.map((v, i) => c.select(isOn, v, state[i]!));
      } else {
        outputs[t] = next[0]!;
        state = next;
      }
    }
    all.push(
      c.concat(
        outputs.map((v) => c.reshape(v, [1, 1, batch, hidden])),
        0,
      ),
    );
    finals.push([...state]);
  }
  // [steps, directions, batch, hidden], or [batch, steps, directions, hidden]
  if (c.wants(0)) {
    const y = c.concat(all, 1);
    c.give(0, byBatch ? c.transpose(y, [2, 0, 1, 3]) : y);
  }
  states.forEach((_, i) => {
    if (!c.wants(i + 1)) return;
    const v = c.concat(
      finals.map((f) => c.reshape(f[i]!, [1, batch, hidden])),
      0,
    );
    c.give(i + 1, byBatch ? c.transpose(v, [1, 0, 2]) : v);
  });
}

/** The lengths of sequences against [batch, hidden], as floats; undefined where all are whole. */
function lengthsOf(c: Context, steps: number): Val | undefined {
  const known = c.numbers(c.in(4));
  if (known?.every((n) => n === steps)) return undefined;
  return c.reshape(c.cast(c.in(4), "float32"), [c.in(4).shape[0]!, 1]);
}

const clipped = (c: Context, x: Val): Val => {
  const limit = c.float("clip", 0);
  if (limit <= 0) return x;
  return c.binary("MINIMUM", c.binary("MAXIMUM", x, c.scalar(-limit, x)), c.scalar(limit, x));
};

/** A part of a gate tensor [batch, gates * hidden]. */
const gate = (c: Context, v: Val, i: number, hidden: number) => c.part(v, v.shape.length - 1, i * hidden, hidden);

const halves = (c: Context, bias: Val | undefined, size: number) =>
  bias ? ([c.part(bias, 0, 0, size), c.part(bias, 0, size, size)] as const) : [undefined, undefined];

function lstm(c: Context) {
  const coupled = c.int("input_forget", 0) === 1;
  const activations = activationsOf(c, ["Sigmoid", "Tanh", "Tanh"]);
  unrolled(c, [5, 6], ({ w, r, bias, index }) => {
    const hidden = r.shape[1]!;
    const [f, g, h] = activations.slice(3 * index) as [Activation, Activation, Activation];
    const [wb, rb] = halves(c, bias, 4 * hidden);
    const peep = c.maybe(7) && c.reshape(c.part(c.in(7), 0, index, 1), [3 * hidden]);
    const look = (v: Val, state: Val, i: number) => (peep ? plus(c, v, mul(c, state, gate(c, peep, i, hidden))) : v);
    return {
      gates: 4,
      step(input, states) {
        const [before, cell] = states as [Val, Val];
        const sums = plus(c, c.dense(input, w, wb), c.dense(before, r, rb));
        const part = (i: number) => gate(c, sums, i, hidden);
        const enter = f(c, clipped(c, look(part(0), cell, 0)));
        const forget = coupled ? minus(c, c.scalar(1, enter), enter) : f(c, clipped(c, look(part(2), cell, 2)));
        const candidate = g(c, clipped(c, part(3)));
        const next = plus(c, mul(c, forget, cell), mul(c, enter, candidate));
        const leave = f(c, clipped(c, look(part(1), next, 1)));
        return [mul(c, leave, h(c, next)), next];
      },
    };
  });
}

function gru(c: Context) {
  const linear = c.int("linear_before_reset", 0) === 1;
  const activations = activationsOf(c, ["Sigmoid", "Tanh"]);
  unrolled(c, [5], ({ w, r, bias, index }) => {
    const hidden = r.shape[1]!;
    const [f, g] = activations.slice(2 * index) as [Activation, Activation];
    const [wb, rb] = halves(c, bias, 3 * hidden);
    const rows = (v: Val, from: number, count: number) => c.part(v, 0, from * hidden, count * hidden);
    return {
      gates: 3,
      step(input, [before]) {
        const state = before!;
        const inputs = c.dense(input, w, wb);
        const recurrent = c.dense(state, rows(r, 0, 2), rb && rows(rb, 0, 2));
        const update = f(c, clipped(c, plus(c, gate(c, inputs, 0, hidden), gate(c, recurrent, 0, hidden))));
        const reset = f(c, clipped(c, plus(c, gate(c, inputs, 1, hidden), gate(c, recurrent, 1, hidden))));
        const weight = rows(r, 2, 1);
        const part = linear
          ? mul(c, reset, c.dense(state, weight, rb && rows(rb, 2, 1)))
          : c.dense(mul(c, reset, state), weight, rb && rows(rb, 2, 1));
        const candidate = g(c, clipped(c, plus(c, gate(c, inputs, 2, hidden), part)));
        return [plus(c, mul(c, minus(c, c.scalar(1, update), update), candidate), mul(c, update, state))];
      },
    };
  });
}

function rnn(c: Context) {
  const activations = activationsOf(c, ["Tanh"]);
  unrolled(c, [5], ({ w, r, bias, index }) => {
    const f = activations[index]!;
    const [wb, rb] = halves(c, bias, r.shape[1]!);
    return {
      gates: 1,
      step: (input, [before]) => [f(c, clipped(c, plus(c, c.dense(input, w, wb), c.dense(before!, r, rb))))],
    };
  });
}

export const recurrents: Lowerings = { LSTM: lstm, GRU: gru, RNN: rnn };
