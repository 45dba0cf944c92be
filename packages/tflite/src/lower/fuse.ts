import type { ResidentTensor } from "@pare/core";
import { numbersOf } from "@pare/ops/numeric";
import { reshaped } from "@pare/ops/weights";
import { transposed } from "./constant.ts";
import type { Sink } from "./context.ts";
import { hasOrders, lastOrder, type Program, type Step, type Val } from "./program.ts";

/** Activations that an operator before them can compute, by their operator. LiteRT ignores others in silence, and CONCATENATION all. */
const activations: ReadonlyMap<string, string> = new Map([
  ["RELU", "RELU"],
  ["RELU6", "RELU6"],
  ["RELU_N1_TO_1", "RELU_N1_TO_1"],
]);

const taking = new Set(
  "ADD SUB MUL DIV CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED AVERAGE_POOL_2D MAX_POOL_2D CONV_3D".split(" "),
);

/** Lets operators compute the activation that alone reads their result, and drops steps whose results nobody reads. */
export function simplified(program: Program): Program {
  const uses = usesOf(program);
  const kept = program.steps.filter((s) => s.outputs.some((o) => uses.has(o.value)));
  const writers = new Map<Val, number>();
  kept.forEach((s, i) => {
    for (const o of s.outputs) writers.set(o.value, i);
  });
  const outputs = new Set(program.outputs.map((o) => o.value));
  const steps: (Step | undefined)[] = [...kept];
  kept.forEach((s, i) => {
    const activation = activations.get(s.code);
    const input = s.inputs[0]?.value;
    const at = input && writers.get(input);
    const before = at === undefined ? undefined : steps[at];
    if (!activation || !input || !before || !taking.has(before.code) || before.options["fused_activation_function"])
      return;
    const written = before.outputs[0]!;
    if (uses.get(input) !== 1 || outputs.has(input) || written.value.dtype !== "float32") return;
    steps[at!] = {
      ...before,
      outputs: [{ ...written, value: s.outputs[0]!.value }],
      options: { ...before.options, fused_activation_function: activation },
    };
    writers.set(s.outputs[0]!.value, at!);
    steps[i] = undefined;
  });
  return { ...program, steps: steps.filter((s) => s !== undefined) };
}

/** Lets products of matrices read their operands transposed where alone they read the transposition. */
export function withoutTransposedFactors(program: Program): Program {
  const uses = usesOf(program);
  const writers = new Map<Val, Step>();
  for (const s of program.steps) for (const o of s.outputs) writers.set(o.value, s);
  const steps = program.steps.map((s): Step => {
    if (s.code !== "BATCH_MATMUL") return s;
    const options = { ...s.options };
    const inputs = s.inputs.map((arg, i) => {
      const before = arg && writers.get(arg.value);
      const perm = before?.code === "TRANSPOSE" ? before.inputs[1]!.value.data : undefined;
      if (!before || !perm?.bytes || uses.get(arg.value) !== 1) return arg;
      const order = numbersOf(perm as ResidentTensor);
      const rank = order.length;
      const swaps = order.every((axis, at) => axis === (at === rank - 1 ? rank - 2 : at === rank - 2 ? rank - 1 : at));
      if (!swaps) return arg;
      const name = i === 0 ? "adj_x" : "adj_y";
      options[name] = options[name] !== true;
      return before.inputs[0];
    });
    return { ...s, inputs, options };
  });
  return { ...program, steps };
}

/** Operators whose result is in the order of their first input, whichever it is. */
const passing = new Set(
  "RELU RELU6 RELU_N1_TO_1 HARD_SWISH LOGISTIC TANH ELU LEAKY_RELU ABS ADD MUL SUB PAD".split(" "),
);

/**
 * Lets a flattened value that is made with channels last stay so: the columns of the weights that read it are permuted in the
 * place of the value.
 */
export function flattenedLast(program: Program, sink: Sink): Program {
  const uses = usesOf(program);
  const writers = new Map<Val, Step>();
  for (const s of program.steps) for (const o of s.outputs) writers.set(o.value, s);
  const isMadeLast = (v: Val): boolean => {
    for (let at = writers.get(v); at; at = writers.get(at.inputs[0]!.value)) {
      if (at.outputs[0]!.order) return at.outputs[0]!.order === "last";
      if (!passing.has(at.code)) return false;
    }
    return false;
  };
  const flat = new Set<Val>();
  const steps = program.steps.map((s): Step => {
    const before = s.code === "FULLY_CONNECTED" ? writers.get(s.inputs[0]!.value) : undefined;
    const weight = s.inputs[1]?.value.data;
    if (before?.code !== "RESHAPE" || !weight || uses.get(s.inputs[0]!.value) !== 1) return s;
    const [x, y] = [before.inputs[0]!.value, before.outputs[0]!.value];
    const [n, ...inner] = x.shape;
    if (!hasOrders(x) || x.data || y.shape.length !== 2 || y.shape[0] !== n || !isMadeLast(x)) return s;
    flat.add(y);
    const apart = reshaped(weight, [weight.shape[0]!, ...inner]);
    const turned = reshaped(transposed(apart, lastOrder(x.shape.length)), weight.shape);
    const columns = sink.fresh(weight.shape, weight.dtype, turned);
    return { ...s, inputs: [s.inputs[0], { value: columns }, s.inputs[2]] };
  });
  const read = (s: Step): Step =>
    s.code === "RESHAPE" && flat.has(s.outputs[0]!.value)
      ? { ...s, inputs: [{ value: s.inputs[0]!.value, order: "last" }, s.inputs[1]] }
      : s;
  return { ...program, steps: steps.map(read) };
}

/** The program with what `change` makes of it and of the graphs in it. */
export function throughout(program: Program, change: (p: Program) => Program): Program {
  const steps = program.steps.map((s) => (s.graphs ? { ...s, graphs: s.graphs.map((g) => throughout(g, change)) } : s));
  return change({ ...program, steps });
}

/** How often values are read, by what leads to an output. */
function usesOf(program: Program): Map<Val, number> {
  const uses = new Map<Val, number>();
  const use = (v: Val) => uses.set(v, (uses.get(v) ?? 0) + 1);
  for (const o of program.outputs) use(o.value);
  for (let i = program.steps.length - 1; i >= 0; i--) {
    const s = program.steps[i]!;
    if (s.outputs.some((o) => uses.has(o.value))) for (const a of s.inputs) if (a) use(a.value);
  }
  return uses;
}
