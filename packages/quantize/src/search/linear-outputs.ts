import { edit, type Model, operatorOf, type ValueInfo, value, viewOf } from "@pare/core";

/** Operators whose results hardly tell how far off what they read is, once it is far on one side. */
const squashing = new Set(["Softmax", "LogSoftmax", "Sigmoid", "HardSigmoid", "Tanh", "Softsign", "Erf"]);

/**
 * The model with what its last Softmax, Sigmoid or such a function reads in the place of that output. There errors of layers add up as
 * they are; behind it those of a few undecided results are nearly all that is seen.
 */
export function linearOutputs(model: Model): Model {
  const { main } = viewOf(model);
  const outputs = model.graph.outputs.map((output): ValueInfo => {
    const maker = main.producer(output.name);
    const from = maker && squashing.has(operatorOf(maker)) ? maker.inputs[0]! : undefined;
    const isResult = output.type?.kind === "tensor" && output.type.dtype === "float32";
    return from === undefined || !isResult || !main.producer(from) ? output : value(from, "float32");
  });
  // Two functions of one value leave it as the output once.
  const distinct = outputs.filter((o, i) => outputs.findIndex((other) => other.name === o.name) === i);
  return edit(model, (e) => e.setGraph(e.view.main, { outputs: distinct }));
}
