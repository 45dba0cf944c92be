import { attribute, failure } from "@pare/core";
import { type Nd, newData, numbersOf } from "./array.ts";
import { sigmoid, softplus } from "./elementwise.ts";
import { type Call, type EvaluateRule, type EvaluateRules, input, int, ints, text } from "./rule.ts";

/** An activation, and the values of its parameters where the node gives none: those of the operator of that name. */
interface Activation {
  readonly f: (x: number, alpha: number, beta: number) => number;
  readonly alpha?: number;
  readonly beta?: number;
}

const functions: Readonly<Record<string, Activation>> = {
  sigmoid: { f: sigmoid },
  tanh: { f: Math.tanh },
  relu: { f: (x) => Math.max(0, x) },
  affine: { f: (x, a, b) => a * x + b, alpha: 1, beta: 0 },
  leakyrelu: { f: (x, a) => (x < 0 ? a * x : x), alpha: 0.01 },
  thresholdedrelu: { f: (x, a) => (x >= a ? x : 0), alpha: 1 },
  scaledtanh: { f: (x, a, b) => a * Math.tanh(b * x), alpha: 1, beta: 1 },
  hardsigmoid: { f: (x, a, b) => Math.min(1, Math.max(0, a * x + b)), alpha: 0.2, beta: 0.5 },
  elu: { f: (x, a) => (x < 0 ? a * Math.expm1(x) : x), alpha: 1 },
  softsign: { f: (x) => x / (1 + Math.abs(x)) },
  softplus: { f: softplus },
};

/**
 * The activations of all directions, in order, clipped inputs first where the node says so. The node lists parameters
 * for those only that have them.
 */
function activations(call: Call, each: readonly string[], directions: number): ((x: number) => number)[] {
  const names = attribute(call.node, "activations", "strings") ?? Array.from({ length: directions }, () => each).flat();
  const [alphas, betas] = ["activation_alpha", "activation_beta"].map((name) => [
    ...(attribute(call.node, name, "floats") ?? []),
  ]) as [number[], number[]];
  const clip = attribute(call.node, "clip", "float");
  return names.map((name) => {
    const key = String(name).toLowerCase();
    if (!Object.hasOwn(functions, key))
      throw failure("ops/attribute", `${call.node.op}: there is no activation ${name}`);
    const { f, alpha, beta } = functions[key]!;
    const a = (alpha === undefined ? undefined : alphas.shift()) ?? alpha ?? 0;
    const b = (beta === undefined ? undefined : betas.shift()) ?? beta ?? 0;
    return (x) => f(clip === undefined ? x : Math.max(-clip, Math.min(clip, x)), a, b);
  });
}

/** One step of one sequence of the batch: from the input and the state to the new state. */
type Cell = (x: Float64Array, h: Float64Array, c: Float64Array, d: number) => { h: Float64Array; c: Float64Array };

/** Runs a cell over the sequences in the directions that the node says; gives all states and the last ones. */
function unroll(call: Call, hidden: number, directions: number, states: number, makeCell: (d: number) => Cell): Nd[] {
  const x = input(call, 0);
  const layout = int(call, "layout", 0);
  const [steps, batch] = layout === 0 ? [x.shape[0]!, x.shape[1]!] : [x.shape[1]!, x.shape[0]!];
  const size = x.shape[2]!;
  call.budget.spend(2 * steps * batch * (input(call, 1).data.length + input(call, 2).data.length));
  const data = numbersOf(x);
  const lengths = ints(call, 4) ?? new Array<number>(batch).fill(steps);
  const all = newData("float64", [steps, directions, batch, hidden]) as Float64Array;
  const last = Array.from({ length: states }, () => newData("float64", [directions, batch, hidden]) as Float64Array);
  const backwards = (d: number) => text(call, "direction", "forward") === "reverse" || d === 1;
  const stateAt = (d: number, b: number) => (layout === 0 ? (d * batch + b) * hidden : (b * directions + d) * hidden);
  const first = (index: number, d: number, b: number) => {
    const given = call.inputs[index];
    return given ? numbersOf(given).slice(stateAt(d, b), stateAt(d, b) + hidden) : new Float64Array(hidden);
  };
  for (let d = 0; d < directions; d++) {
    const cell = makeCell(d);
    for (let b = 0; b < batch; b++) {
      let state: { h: Float64Array; c: Float64Array } = {
        h: first(5, d, b),
        c: states > 1 ? first(6, d, b) : new Float64Array(hidden),
      };
      for (let t = 0; t < lengths[b]!; t++) {
        const step = backwards(d) ? lengths[b]! - 1 - t : t;
        const from = (layout === 0 ? step * batch + b : b * steps + step) * size;
        state = cell(data.subarray(from, from + size), state.h, state.c, d);
        const to =
          layout === 0
            ? ((step * directions + d) * batch + b) * hidden
            : ((b * steps + step) * directions + d) * hidden;
        all.set(state.h, to);
      }
      last[0]!.set(state.h, stateAt(d, b));
      last[1]?.set(state.c, stateAt(d, b));
    }
  }
  const stateShape = layout === 0 ? [directions, batch, hidden] : [batch, directions, hidden];
  const allShape = layout === 0 ? [steps, directions, batch, hidden] : [batch, steps, directions, hidden];
  return [
    { dtype: x.dtype, shape: allShape, data: all },
    ...last.map((l): Nd => ({ dtype: x.dtype, shape: stateShape, data: l })),
  ];
}

/** `x W^T + h R^T + both biases` of each gate. W is [directions, gates * hidden, size]. */
function gatesOf(call: Call, hidden: number, gates: number, d: number) {
  const [w, r] = [numbersOf(input(call, 1)), numbersOf(input(call, 2))];
  const size = input(call, 1).shape[2]!;
  const bias = call.inputs[3] ? numbersOf(call.inputs[3]) : undefined;
  const rows = gates * hidden;
  if (input(call, 1).shape[1] !== rows || String(input(call, 2).shape.slice(1)) !== `${rows},${hidden}`)
    throw failure(
      "ops/shape",
      `${call.node.op}: [${input(call, 1).shape}] and [${input(call, 2).shape}] for ${hidden}`,
    );
  const dot = (m: Float64Array, row: number, width: number, v: Float64Array) => {
    let sum = 0;
    for (let k = 0; k < width; k++) sum += m[(d * rows + row) * width + k]! * v[k]!;
    return sum;
  };
  const biasAt = (row: number) => (bias ? bias[d * 2 * rows + row]! : 0);
  return {
    input: (row: number, x: Float64Array) => dot(w, row, size, x) + biasAt(row),
    state: (row: number, h: Float64Array) => dot(r, row, hidden, h) + biasAt(rows + row),
  };
}

const directionsOf = (call: Call) => (text(call, "direction", "forward") === "bidirectional" ? 2 : 1);

const lstm: EvaluateRule = (call) => {
  const hidden = int(call, "hidden_size", input(call, 2).shape[2]!);
  const directions = directionsOf(call);
  const act = activations(call, ["Sigmoid", "Tanh", "Tanh"], directions);
  const peepholes = call.inputs[7] ? numbersOf(call.inputs[7]) : undefined;
  const coupled = int(call, "input_forget", 0) === 1;
  return unroll(call, hidden, directions, 2, (d) => {
    const gate = gatesOf(call, hidden, 4, d);
    const [f, g, h] = act.slice(3 * d, 3 * d + 3) as [
      (x: number) => number,
      (x: number) => number,
      (x: number) => number,
    ];
    const peep = (which: number, k: number, c: number) =>
      peepholes ? peepholes[(d * 3 + which) * hidden + k]! * c : 0;
    return (x, before, cell) => {
      const out = { h: new Float64Array(hidden), c: new Float64Array(hidden) };
      // Gates stand in the order input, output, forget, cell.
      const raw = (which: number, k: number) =>
        gate.input(which * hidden + k, x) + gate.state(which * hidden + k, before);
      for (let k = 0; k < hidden; k++) {
        const i = f(raw(0, k) + peep(0, k, cell[k]!));
        const forget = coupled ? 1 - i : f(raw(2, k) + peep(2, k, cell[k]!));
        out.c[k] = forget * cell[k]! + i * g(raw(3, k));
        out.h[k] = f(raw(1, k) + peep(1, k, out.c[k]!)) * h(out.c[k]!);
      }
      return out;
    };
  });
};

const gru: EvaluateRule = (call) => {
  const hidden = int(call, "hidden_size", input(call, 2).shape[2]!);
  const directions = directionsOf(call);
  const act = activations(call, ["Sigmoid", "Tanh"], directions);
  const after = int(call, "linear_before_reset", 0) === 1;
  return unroll(call, hidden, directions, 1, (d) => {
    const gate = gatesOf(call, hidden, 3, d);
    const [f, g] = act.slice(2 * d, 2 * d + 2) as [(x: number) => number, (x: number) => number];
    return (x, h) => {
      const raw = (which: number, k: number) =>
        f(gate.input(which * hidden + k, x) + gate.state(which * hidden + k, h));
      const [z, r] = [0, 1].map((which) => Float64Array.from(h, (_, k) => raw(which, k))) as [
        Float64Array,
        Float64Array,
      ];
      const reset = h.map((v, k) => r[k]! * v);
      const next = h.map((v, k) => {
        const row = 2 * hidden + k;
        const candidate = g(gate.input(row, x) + (after ? r[k]! * gate.state(row, h) : gate.state(row, reset)));
        return (1 - z[k]!) * candidate + z[k]! * v;
      });
      return { h: next, c: h };
    };
  });
};

const rnn: EvaluateRule = (call) => {
  const hidden = int(call, "hidden_size", input(call, 2).shape[2]!);
  const directions = directionsOf(call);
  const act = activations(call, ["Tanh"], directions);
  return unroll(call, hidden, directions, 1, (d) => {
    const gate = gatesOf(call, hidden, 1, d);
    return (x, h) => ({ h: h.map((_, k) => act[d]!(gate.input(k, x) + gate.state(k, h))), c: h });
  });
};

export const recurrent: EvaluateRules = { LSTM: lstm, GRU: gru, RNN: rnn };
