import { failure, operatorOf, placeOf, type Runtime, type Values, viewOf } from "@pare/core";
import { evaluate, evaluatedOperators } from "@pare/ops/evaluate";

/** Runs models in the evaluator of `@pare/ops`: slow, exact, and there without an engine. */
export const evaluatorRuntime: Runtime = {
  name: "evaluator",
  version: async () => "1",
  async prepare(model, { taps = [], state = {}, initialState = {}, signal } = {}) {
    signal?.throwIfAborted();
    const functions = new Set(model.functions.map((f) => `${f.domain}.${f.name}`));
    for (const { graph } of viewOf(model).graphs)
      for (const n of graph.nodes)
        if (!evaluatedOperators.has(operatorOf(n)) && !functions.has(`${n.domain}.${n.op}`))
          throw failure("evaluator/operator", `${operatorOf(n)} is not evaluated`, { location: placeOf(n) });
    const { inputs, outputs } = model.graph;
    const all = [...outputs.map((v) => v.name), ...taps];
    let held: Values = initialState;
    let closed = false;
    return {
      inputs,
      outputs,
      async run(given, options = {}) {
        if (closed) throw failure("evaluator/closed", "the session is closed");
        const wanted = options.outputs ?? all;
        const { signal } = options;
        signal?.throwIfAborted();
        const feeds = { ...held, ...given };
        for (const name of Object.keys(given))
          if (!inputs.some((v) => v.name === name))
            throw failure("evaluator/input", `the model has no input ${name}`, { location: { value: name } });
        const results = await evaluate(model, feeds, {
          outputs: [...new Set([...wanted, ...Object.keys(state)])],
          ...(signal ? { signal } : {}),
        });
        held = { ...held, ...Object.fromEntries(Object.entries(state).map(([out, input]) => [input, results[out]!])) };
        return Object.fromEntries(wanted.map((name) => [name, results[name]!]));
      },
      async close() {
        closed = true;
      },
    };
  },
};
