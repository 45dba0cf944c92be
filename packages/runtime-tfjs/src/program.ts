/** A model as it is run: for shapes of its inputs, in operators that the table has. */
import {
  type Diagnostic,
  type Dim,
  type DType,
  IR_OPSET,
  labelOf,
  type Model,
  type Node,
  operatorOf,
  PareError,
  problem,
  viewOf,
} from "@pare/core";
import { unfoldings } from "@pare/ops/gradient";
import { inferTypes } from "@pare/ops/infer";
import { decomposable, decompose } from "@pare/ops/lower";
import { fail } from "./codes.ts";
import { carrierOf } from "./held.ts";
import { rules } from "./rules/table.ts";

const control = new Set(["Constant", "If", "Loop", "Scan"]);
/** Layers that are unrolled, and losses. What the interpreter runs by itself is left as it is. */
const unfolded = new Map([...unfoldings].filter(([op]) => !control.has(op)));

const isRun = (n: Node, functions: ReadonlySet<string>): boolean =>
  functions.has(operatorOf(n)) || (n.domain === "" && (rules.has(n.op) || control.has(n.op)));

/**
 * Refuses a model that no shapes of its inputs could make one that is run.
 * @throws PareError `tfjs/operator` with all nodes of operators that are not there, `tfjs/dtype`, `tfjs/refused`
 */
export function check(model: Model): void {
  const opset = model.opsets.get("") ?? IR_OPSET;
  if (opset !== IR_OPSET)
    throw fail("tfjs/refused", `the model is at opset ${opset}, and what is run is opset ${IR_OPSET}`, {
      hint: "Upgrade it, as openOnnx does.",
    });
  const problems: Diagnostic[] = [];
  const functions = functionsOf(model);
  for (const { graph, path } of viewOf(model).graphs) {
    for (const n of graph.nodes)
      if (!isRun(n, functions) && !(n.domain === "" && (decomposable.has(n.op) || unfolded.has(n.op))))
        problems.push(missing(n, path));
    for (const name of graph.sparseWeights.keys())
      problems.push(problem("tfjs/refused", "TensorFlow.js gets no sparse weights", { location: { value: name } }));
  }
  const { inputs, outputs } = model.graph;
  for (const { name, type } of [...inputs, ...outputs])
    if (type && (type.kind !== "tensor" || !carrierOf(type.dtype)))
      problems.push(
        problem("tfjs/dtype", `TensorFlow.js gets no values of ${type.kind === "tensor" ? type.dtype : type.kind}`, {
          location: { value: name },
          ...(type.kind === "tensor" && type.dtype === "float64" ? { hint: "Use float32." } : {}),
        }),
      );
  if (problems.length > 0) throw new PareError(problems);
}

const functionsOf = (model: Model) => new Set(model.functions.map((f) => operatorOf({ domain: f.domain, op: f.name })));

const missing = (n: Node, path: string, reason?: string) =>
  problem(
    "tfjs/operator",
    `${operatorOf(n)} is not said in operations of TensorFlow.js${reason ? `: ${reason}` : ""}`,
    {
      location: { ...(path ? { graph: path } : {}), node: labelOf(n), op: n.op },
    },
  );

/**
 * The model with these shapes of its inputs, where operators that the table lacks are said in those it has.
 * @throws PareError `tfjs/operator` with all nodes for which that cannot be done, and why
 */
export function specialised(model: Model, shapes: ReadonlyMap<string, readonly number[]>): Model {
  const functions = functionsOf(model);
  const isLacking = (n: Node) => !isRun(n, functions);
  const lacking = (m: Model) =>
    viewOf(m).graphs.flatMap(({ graph, path }) => graph.nodes.filter(isLacking).map((n) => ({ n, path })));
  if (lacking(model).length === 0) return model;
  let current: Model = {
    ...model,
    graph: {
      ...model.graph,
      inputs: model.graph.inputs.map((v) => {
        const shape: readonly Dim[] | undefined = shapes.get(v.name);
        return shape && v.type?.kind === "tensor" ? { ...v, type: { ...v.type, shape } } : v;
      }),
    },
  };
  const reasons = new Map<string, string>();
  for (let left = lacking(current); left.length > 0; left = lacking(current)) {
    const before = current;
    current = decompose(current, {
      wanted: isLacking,
      unfoldings: unfolded,
      onSkip: (n, _, reason) => reasons.set(labelOf(n), reason),
    });
    if (current === before) throw new PareError(left.map(({ n, path }) => missing(n, path, reasons.get(labelOf(n)))));
  }
  return current;
}

/** What is known of the element type of a value of the main graph. */
export function dtypesOf(model: Model): (name: string) => DType | undefined {
  const types = inferTypes(model);
  const { main } = viewOf(model);
  return (name) => {
    const type = types.of(main, name);
    return type?.kind === "tensor" ? type.dtype : undefined;
  };
}
