/** Gradients of a model by TensorFlow.js's own rules. */
import { isFloat, isPareError, type Model, type ResidentTensor, type Values } from "@pare/core";
import { at, fail } from "./codes.ts";
import type { Tensor } from "./engine.ts";
import { compute } from "./engine.ts";
import { fromData, type Held, onDevice, toTensor } from "./held.ts";
import { interpret, type Run } from "./interpret.ts";
import type { GradientOptions } from "./options.ts";
import { finishNow } from "./steps.ts";

/** Differentiates the sum of the outputs, each weighed by its `upstream`, by inputs and weights. */
export function gradientsOf(
  model: Model,
  run: Run,
  feeds: ReadonlyMap<string, Held>,
  { upstream, by }: GradientOptions,
): Values {
  const { engine } = run;
  const { tf } = engine;
  const { graph } = model;
  const names = by ?? [...feeds].flatMap(([name, v]) => (v.dtype === "float32" ? [name] : []));
  const starts = names.map((name) => {
    const weight = graph.weights.get(name);
    const v = feeds.get(name) ?? (weight && run.weights.get(weight));
    if (!v) throw fail("tfjs/input", "only inputs and weights can be differentiated by", at(name));
    if (v.dtype !== "float32") throw fail("tfjs/dtype", `this is ${v.dtype}, and no float32`, at(name));
    return onDevice(engine, v);
  });
  const factors = Object.entries(upstream);
  for (const [name, t] of factors)
    if (!graph.outputs.some((v) => v.name === name) || !isFloat(t.dtype))
      throw fail("tfjs/output", "this is no output of a floating-point type", at(name));
  const sum = (...xs: Tensor[]): Tensor => {
    const moved = new Map(feeds);
    xs.forEach((x, i) => {
      moved.set(names[i]!, { dtype: "float32", shape: x.shape, device: x, holders: 0, alive: undefined });
    });
    const steps = interpret(graph, run, moved, new Set(), new Set(factors.map(([name]) => name)));
    const { held } = finishNow(steps);
    const terms = factors.map(([name, t]) => tf.sum(tf.mul(onDevice(engine, held.get(name)!), toTensor(tf, t))));
    return terms.reduce((a, b) => tf.add(a, b));
  };
  try {
    const list = compute(engine, () => tf.grads(sum as (...x: Tensor[]) => Tensor)(starts));
    const read = (t: Tensor): ResidentTensor => fromData("float32", t.shape, t.dataSync() as Float32Array);
    const results = Object.fromEntries(list.map((t, i) => [names[i]!, read(t)]));
    for (const t of list) t.dispose();
    return results;
  } catch (error) {
    if (isPareError(error)) throw error;
    throw fail("tfjs/failed", `TensorFlow.js gives no gradient: ${(error as Error).message}`, {
      cause: error,
      hint: "Gradients come with @tensorflow/tfjs; @tensorflow/tfjs-core alone has none.",
    });
  }
}
