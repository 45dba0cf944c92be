/** Optimizers as graphs: from a parameter, its gradient and what is kept of it to the next. */
import { failure, type Graph } from "@pare/core";
import { buildGraph, type GraphBuilder } from "@pare/ops/build";

/** How one parameter moves in one step, as a graph. */
export interface Optimizer {
  readonly name: string;
  /** What is kept of each parameter from step to step, in its shape, 0 at first. */
  readonly slots: readonly string[];
  /**
   * Inputs `parameter`, `gradient`, the scalars `rate` (learning rate) and `step` (1 for the first), and the slots; outputs
   * the next parameter and the next slots, in order. Those that it does not need it leaves out.
   */
  readonly graph: Graph;
}

interface Calc {
  readonly b: GraphBuilder;
  readonly w: string;
  readonly g: string;
  readonly rate: string;
  step(): string;
  slot(name: string): string;
  calc(op: string, ...operands: readonly (string | number)[]): string;
}

function define(name: string, slots: readonly string[], make: (c: Calc) => readonly string[]): Optimizer {
  const b = buildGraph();
  const input = (v: string) => b.input("float32", undefined, v);
  const [w, g, rate] = [input("parameter"), input("gradient"), input("rate")];
  let step: string | undefined;
  const kept = new Map(slots.map((s) => [s, input(s)]));
  const calc: Calc["calc"] = (op, ...operands) =>
    b.op(
      op,
      operands.map((v) => (typeof v === "number" ? b.number(v) : v)),
    );
  const results = make({
    b,
    w,
    g,
    rate,
    step: () => (step ??= input("step")),
    slot: (s) => kept.get(s)!,
    calc,
  });
  for (const v of results) b.output(v, "float32");
  return { name, slots, graph: b.graph(name) };
}

const inside = (value: number, name: string, high = 1): number => {
  if (!(value >= 0 && value < high))
    throw failure("train/options", `${name} is from 0 to less than ${high}, not ${value}`);
  return value;
};

export interface SgdOptions {
  readonly momentum?: number;
  /** Looks ahead by the momentum. (Sutskever et al. 2013.) */
  readonly nesterov?: boolean;
  /** Adds this times the parameter to its gradient. */
  readonly weightDecay?: number;
}

/** v = momentum * v + g; w = w - rate * v, or with `nesterov` w - rate * (g + momentum * v). As in PyTorch, without dampening. */
export function sgd({ momentum = 0, nesterov = false, weightDecay = 0 }: SgdOptions = {}): Optimizer {
  inside(momentum, "the momentum");
  inside(weightDecay, "the weight decay", Number.POSITIVE_INFINITY);
  if (nesterov && momentum === 0) throw failure("train/options", "nesterov needs a momentum");
  return define("sgd", momentum === 0 ? [] : ["velocity"], ({ w, g, rate, slot, calc }) => {
    const gradient = weightDecay === 0 ? g : calc("Add", g, calc("Mul", w, weightDecay));
    if (momentum === 0) return [calc("Sub", w, calc("Mul", gradient, rate))];
    const velocity = calc("Add", calc("Mul", slot("velocity"), momentum), gradient);
    const direction = nesterov ? calc("Add", gradient, calc("Mul", velocity, momentum)) : velocity;
    return [calc("Sub", w, calc("Mul", direction, rate)), velocity];
  });
}

export interface AdamOptions {
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
  readonly weightDecay?: number;
}

/** Adam (Kingma & Ba 2015, arXiv:1412.6980), with the weight decay added to the gradient. */
export const adam = (options: AdamOptions = {}): Optimizer => adaptive("adam", options, false);

/** Adam whose weight decay is apart from the gradient: w = w - rate * weightDecay * w. (Loshchilov & Hutter 2019, arXiv:1711.05101.) */
export const adamW = (options: AdamOptions = {}): Optimizer =>
  adaptive("adamW", { weightDecay: 0.01, ...options }, true);

function adaptive(name: string, options: AdamOptions, apart: boolean): Optimizer {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = options;
  inside(beta1, "beta1");
  inside(beta2, "beta2");
  inside(weightDecay, "the weight decay", Number.POSITIVE_INFINITY);
  return define(name, ["first", "second"], ({ w, g, rate, step, slot, calc }) => {
    const gradient = apart || weightDecay === 0 ? g : calc("Add", g, calc("Mul", w, weightDecay));
    const first = calc("Add", calc("Mul", slot("first"), beta1), calc("Mul", gradient, 1 - beta1));
    const square = calc("Mul", gradient, gradient);
    const second = calc("Add", calc("Mul", slot("second"), beta2), calc("Mul", square, 1 - beta2));
    // Both started at 0: what is missing of them after so many steps.
    const missing = (beta: number) => calc("Sub", 1, calc("Pow", beta, step()));
    const size = calc("Div", rate, missing(beta1));
    const root = calc("Div", calc("Sqrt", second), calc("Sqrt", missing(beta2)));
    const moved = calc("Mul", calc("Div", first, calc("Add", root, epsilon)), size);
    const kept = apart && weightDecay !== 0 ? calc("Sub", w, calc("Mul", w, calc("Mul", rate, weightDecay))) : w;
    return [calc("Sub", kept, moved), first, second];
  });
}
