import { attribute } from "@pare/core";
import { type Context, type Lowerings, refuse } from "./context.ts";
import { elu, minus, mul, plus, softplus, thresholdedRelu } from "./elementwise.ts";
import { at, fromEnd, times } from "./nested.ts";
import type { Val } from "./program.ts";

type Activation = (c: Context, x: Val) => Val;

/** Longest sequence that is written out step by step; a longer one is a WHILE. */
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

/** What happens at one step: from the input and the values that go from step to step, of which the first is the output. */
type Cell = (c: Context, input: Val, states: readonly Val[]) => readonly Val[];

interface Direction {
  readonly w: Val;
  readonly r: Val;
  readonly bias: Val | undefined;
  readonly index: number;
}

function recurrent(c: Context, states: readonly (number | undefined)[], cellOf: (d: Direction) => Cell): void {
  const byBatch = c.int("layout", 0) === 1;
  const given = c.in(0);
  if (given.dtype !== "float32") refuse(`LiteRT does not compute it in ${given.dtype}`);
  const x = byBatch ? c.transpose(given, [1, 0, 2]) : given;
  const [steps, batch] = x.shape as [number, number];
  const hidden = c.in(2).shape[2]!;
  const lengths = c.maybe(4) && lengthsOf(c, steps);
  const direction = c.text("direction", "forward");
  const count = c.in(1).shape[0]!;
  const [all, finals]: [Val[], (readonly Val[])[]] = [[], []];
  for (let d = 0; d < count; d++) {
    const backward = direction === "reverse" || d === 1;
    const one = (i: number) => c.reshape(c.part(c.in(i), 0, d, 1), c.in(i).shape.slice(1));
    const cell = cellOf({ w: one(1), r: one(2), bias: c.maybe(3) && one(3), index: d });
    const initial = states.map((input) => {
      if (input === undefined || !c.maybe(input)) return c.full("float32", [batch, hidden], 0);
      const state = byBatch ? c.transpose(c.in(input), [1, 0, 2]) : c.in(input);
      return c.reshape(c.part(state, 0, d, 1), [batch, hidden]);
    });
    const turn = (k: Context, number: Val, before: readonly Val[]) => {
      const t = backward ? fromEnd(k, number, steps) : number;
      const next = cell(k, at(k, x, 0, t), before);
      if (!lengths) return { state: next, parts: [next[0]!] };
      const isOn = k.binary("GREATER", lengths, k.cast(t, "float32"), "bool");
      const output = k.select(isOn, next[0]!, k.full("float32", [batch, hidden], 0));
      return { state: next.map((v, i) => k.select(isOn, v, before[i]!)), parts: [output] };
    };
    const { state, parts } = times(c, steps, initial, turn, MOST_STEPS);
    const output = backward ? c.reverse(parts[0]!, 0) : parts[0]!;
    all.push(c.reshape(output, [steps, 1, batch, hidden]));
    finals.push(state);
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
  recurrent(c, [5, 6], ({ w, r, bias, index }) => {
    const hidden = r.shape[1]!;
    const [f, g, h] = activations.slice(3 * index) as [Activation, Activation, Activation];
    const [wb, rb] = halves(c, bias, 4 * hidden);
    const peepholes = c.maybe(7) && c.reshape(c.part(c.in(7), 0, index, 1), [3 * hidden]);
    const peep = peepholes ? [0, 1, 2].map((i) => gate(c, peepholes, i, hidden)) : [];
    return (k, input, states) => {
      const [before, cell] = states as [Val, Val];
      const sums = plus(k, k.dense(input, w, wb), k.dense(before, r, rb));
      const part = (i: number) => gate(k, sums, i, hidden);
      const look = (v: Val, state: Val, i: number) => {
        const weight = peep[i];
        return weight ? plus(k, v, mul(k, state, weight)) : v;
      };
      const enter = f(k, clipped(k, look(part(0), cell, 0)));
      const forget = coupled ? minus(k, k.scalar(1, enter), enter) : f(k, clipped(k, look(part(2), cell, 2)));
      const candidate = g(k, clipped(k, part(3)));
      const next = plus(k, mul(k, forget, cell), mul(k, enter, candidate));
      const leave = f(k, clipped(k, look(part(1), next, 1)));
      return [mul(k, leave, h(k, next)), next];
    };
  });
}

function gru(c: Context) {
  const linear = c.int("linear_before_reset", 0) === 1;
  const activations = activationsOf(c, ["Sigmoid", "Tanh"]);
  recurrent(c, [5], ({ w, r, bias, index }) => {
    const hidden = r.shape[1]!;
    const [f, g] = activations.slice(2 * index) as [Activation, Activation];
    const [wb, rb] = halves(c, bias, 3 * hidden);
    const rows = (v: Val, from: number, count: number) => c.part(v, 0, from * hidden, count * hidden);
    const [gates, last] = [rows(r, 0, 2), rows(r, 2, 1)];
    const [gateBias, lastBias] = rb ? [rows(rb, 0, 2), rows(rb, 2, 1)] : [];
    return (k, input, [before]) => {
      const state = before!;
      const inputs = k.dense(input, w, wb);
      const sums = k.dense(state, gates, gateBias);
      const update = f(k, clipped(k, plus(k, gate(k, inputs, 0, hidden), gate(k, sums, 0, hidden))));
      const reset = f(k, clipped(k, plus(k, gate(k, inputs, 1, hidden), gate(k, sums, 1, hidden))));
      const part = linear
        ? mul(k, reset, k.dense(state, last, lastBias))
        : k.dense(mul(k, reset, state), last, lastBias);
      const candidate = g(k, clipped(k, plus(k, gate(k, inputs, 2, hidden), part)));
      return [plus(k, mul(k, minus(k, k.scalar(1, update), update), candidate), mul(k, update, state))];
    };
  });
}

function rnn(c: Context) {
  const activations = activationsOf(c, ["Tanh"]);
  recurrent(c, [5], ({ w, r, bias, index }) => {
    const f = activations[index]!;
    const [wb, rb] = halves(c, bias, r.shape[1]!);
    return (k, input, [before]) => [f(k, clipped(k, plus(k, k.dense(input, w, wb), k.dense(before!, r, rb))))];
  });
}

export const recurrents: Lowerings = { LSTM: lstm, GRU: gru, RNN: rnn };
