import { attr, type Edit, edit, type Model, type Node, node, tensor, viewOf } from "@pare/core";

/** Names of what one batch moves that is no parameter: running statistics, by the value that holds them. */
export interface TrainingMode {
  readonly model: Model;
  /** The next value of each running statistic, by weight. */
  readonly moved: ReadonlyMap<string, string>;
  /** Whether some node draws random numbers, from the input `step` and a seed. */
  readonly random: boolean;
}

export interface ModeOptions {
  /** `train`: statistics of the batch, which move the running ones. `frozen`: the running ones, as in evaluation. */
  readonly batchNormalization?: "train" | "frozen" | undefined;
  readonly seed?: number | undefined;
  /** The value that holds the number of the step, a scalar in float32. */
  readonly step: string;
}

/** Puts batch normalization and dropout of the main graph into training. */
export function trainingMode(
  model: Model,
  { batchNormalization = "train", seed = 0, step }: ModeOptions,
): TrainingMode {
  const moved = new Map<string, string>();
  let random = false;
  const { main } = viewOf(model);
  const result = edit(model, (e) => {
    let count = 0;
    for (const n of main.graph.nodes) {
      if (n.domain !== "") continue;
      if (n.op === "BatchNormalization" && batchNormalization === "train") {
        const statistics = [n.inputs[3]!, n.inputs[4]!];
        // One that is no weight, or that another layer has moved, stays as it is.
        if (!statistics.every((v) => main.graph.weights.has(v) && !moved.has(v))) continue;
        const next = statistics.map((v) => e.fresh(`${v}_next`));
        statistics.forEach((v, i) => void moved.set(v, next[i]!));
        const attributes = new Map(n.attributes).set("training_mode", attr.int(1));
        e.replace(n, [{ ...n, outputs: [n.outputs[0]!, ...next], attributes }]);
      } else if (n.op === "Dropout") {
        random = true;
        e.replace(n, dropped(e, n, seed + 7919 * ++count, step));
      }
    }
  });
  return { model: result, moved, random };
}

/** A prime below 2^31, so that products of two numbers below it fit 64 bits. */
const PRIME = 2147483647;

/**
 * Dropout by a mask that depends on seed, step and place only, so that a run that goes on draws what an unbroken one draws.
 * Places are mixed by two squarings modulo a prime. (Srivastava et al. 2014.)
 */
function dropped(e: Edit, n: Node, seed: number, step: string): Node[] {
  const { main } = e.view;
  const nodes: Node[] = [];
  const add = (op: string, inputs: readonly string[], attributes = {}) => {
    const name = e.fresh("dropout");
    nodes.push(node(op, inputs, [name], attributes));
    return name;
  };
  const long = (v: number) => e.addWeight(main, e.fresh("dropout"), tensor("int64", [], [v]));
  const real = (v: number) => e.addWeight(main, e.fresh("dropout"), tensor("float32", [], [v]));
  const [x, ratio = ""] = n.inputs as [string, string?];
  const cast = (v: string, to: number) => add("Cast", [v], { to: attr.int(to) });
  const prime = long(PRIME);
  const shape = add("Shape", [x]);
  const places = add("Range", [long(0), add("ReduceProd", [shape], { keepdims: attr.int(0) }), long(1)]);
  const start = add("Add", [add("Mul", [cast(step, 7), long(69621)]), long((seed % PRIME) + 1)]);
  const mixed = (v: string, by: number) => {
    const inside = add("Mod", [v, prime]);
    const square = add("Mod", [add("Mul", [inside, inside]), prime]);
    return add("Mod", [add("Add", [add("Mul", [square, long(by)]), add("Mul", [inside, long(16807)])]), prime]);
  };
  const first = mixed(add("Add", [add("Mul", [places, long(48271)]), mixed(start, 742938285)]), 950706376);
  const draw = add("Div", [cast(mixed(first, 1226874159), 1), real(PRIME)]);
  const flat = add("GreaterOrEqual", [draw, ratio === "" ? real(0.5) : ratio]);
  const mask = add("Reshape", [flat, shape]);
  const keep = add("Sub", [real(1), ratio === "" ? real(0.5) : ratio]);
  const kept = add("Where", [mask, add("Div", [x, keep]), real(0)]);
  nodes.push(node("Identity", [kept], [n.outputs[0]!]));
  if (n.outputs[1]) nodes.push(node("Identity", [mask], [n.outputs[1]]));
  return nodes;
}
