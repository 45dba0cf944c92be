import {
  type Diagnostic,
  type DType,
  type Edit,
  edit,
  failure,
  type GraphView,
  IR_OPSET,
  isFloat,
  isPareError,
  labelOf,
  type Model,
  type Node,
  operatorOf,
  PareError,
  problem,
  tensor,
  viewOf,
} from "@pare/core";
import { batchNormalizationForward, type GradientScope, gradientBuilder, gradients } from "@pare/ops/gradient";
import { inferTypes } from "@pare/ops/infer";
import { builderOf, nodeContext } from "@pare/ops/lower";
import { typesIn, withConstants } from "@pare/ops/schema";
import { pathOf } from "./path.ts";
import { unfold } from "./unfold.ts";

export interface DifferentiateOptions {
  /** The value to differentiate: a scalar of a floating-point type. */
  readonly loss: string;
  /** The values to differentiate by: weights, inputs or inner values of the main graph. */
  readonly by: readonly string[];
  /** Formulations of gradients in the place of those that are chosen by shape, for measurements and tests. */
  readonly formulations?: Readonly<Record<string, string>>;
}

/** A model that also computes gradients. */
export interface Differentiated {
  readonly model: Model;
  /** The name of each gradient, by value. Values that the loss does not depend on are not there. */
  readonly gradients: ReadonlyMap<string, string>;
}

/**
 * Adds the gradient of a scalar to a model, in operators of the IR: reverse-mode differentiation, a rule for each operator.
 * Batch normalization in training mode, recurrent layers and the losses of ONNX are said in simpler operators.
 * Rounding to integers passes gradients straight through. Outputs stay as they are; gradients are inner values.
 * (Griewank & Walther 2008, Evaluating Derivatives.)
 * @throws PareError `train/no-gradient` naming every operator that has none, `train/value` for a value that is not there,
 *   `train/gradient` for nodes whose gradient needs to know more than the model says, with the reason of each
 */
export function differentiate(model: Model, options: DifferentiateOptions): Differentiated {
  const { loss, by } = options;
  checkValues(model, loss, by);
  const plain = unfold(model, loss, by);
  const types = inferTypes(plain);
  const main = viewOf(plain).main;
  const typeOf = withConstants(main, types.of);
  const path = pathOf(plain, loss, by, (v) => dtypeOf(typeOf(v)));
  checkRules(path.nodes);
  const lossType = typeOf(loss);
  const lossDType = dtypeOf(lossType);
  if (!lossDType || !isFloat(lossDType) || lossType?.kind !== "tensor" || (lossType.shape && lossType.shape.length > 0))
    throw failure("train/value", "the loss is not a scalar of a floating-point type", { location: { value: loss } });

  const found = new Map<string, string>();
  const problems: Diagnostic[] = [];
  const made: GradientScope["made"] = new Map();
  const possible = typesIn(plain, types.of);
  const shared = new Map<string, string>();
  const outputs = new Map<Node, string[]>();
  const saved = new Map<Node, Map<string, string>>();
  const result = edit(plain, (e) => {
    const scopeOf = (n: Node): GradientScope => ({
      ...nodeContext(e, main, n, [], { shared }),
      typeOf,
      possible,
      intsOf: (v) => types.constantInts(main, v),
      target: IR_OPSET,
      made,
      refuse: (why) => {
        throw new PareError([problem("train/gradient", why, { location: { node: labelOf(n), op: n.op } })]);
      },
      gradientOf: (v) => total(v),
      output(node, index) {
        const list = outputs.get(node) ?? [...node.outputs];
        while (list.length <= index) list.push("");
        list[index] ||= e.fresh(`${labelOf(node)}_output`);
        outputs.set(node, list);
        return list[index]!;
      },
      saved: (node, name) => saved.get(node)?.get(name),
      formulations: new Map(Object.entries(options.formulations ?? {})),
    });
    const collect = (work: () => void) => {
      try {
        work();
      } catch (error) {
        if (!isPareError(error)) throw error;
        problems.push(...error.diagnostics);
      }
    };
    const contributions = new Map<string, string[]>();
    const added: Node[] = [];
    const total = (value: string): string | undefined => {
      const parts = contributions.get(value);
      if (!parts || parts.length < 2) return parts?.[0];
      const name = e.fresh(`${value}_gradient`);
      added.push(nodeOf(parts.length === 2 ? "Add" : "Sum", parts, name));
      made.set(name, made.get(parts[0]!)!);
      contributions.set(value, [name]);
      return name;
    };

    for (const n of main.graph.nodes)
      if (n.op === "BatchNormalization" && n.domain === "")
        collect(() => {
          const b = builderOf(n, scopeOf(n));
          const kept = new Map<string, string>();
          if (!batchNormalizationForward(b, (name, value) => kept.set(name, value))) return;
          saved.set(n, kept);
          e.replace(n, b.nodes);
          // More is known of what the node itself gives.
          for (const v of n.outputs) made.delete(v);
        });
    contributions.set(loss, [oneOf(e, main, lossDType, made)]);
    for (const n of [...path.nodes].reverse()) {
      if (!n.outputs.some((v) => contributions.has(v))) continue;
      collect(() => {
        const b = gradientBuilder(n, scopeOf(n));
        gradients.get(n.op)!(b).forEach((make, i) => {
          const name = n.inputs[i];
          if (!make || !name || !path.active.has(name)) return;
          const value = make();
          const list = contributions.get(name);
          if (list) list.push(value);
          else contributions.set(name, [value]);
        });
        added.push(...b.nodes);
      });
    }
    if (problems.length > 0) throw new PareError(problems);
    for (const name of new Set(by)) {
      const value = total(name);
      if (value !== undefined) found.set(name, value);
    }
    for (const [n, list] of outputs) if (!saved.has(n)) e.replace(n, [{ ...n, outputs: list }]);
    e.insert(main, added);
  });
  return { model: result, gradients: found };
}

const dtypeOf = (type: ReturnType<ReturnType<typeof withConstants>>): DType | undefined =>
  type?.kind === "tensor" ? type.dtype : undefined;

const nodeOf = (op: string, inputs: readonly string[], output: string): Node => ({
  name: "",
  domain: "",
  op,
  inputs,
  outputs: [output],
  attributes: new Map(),
});

function oneOf(e: Edit, view: GraphView, dtype: DType, made: GradientScope["made"]): string {
  if (dtype !== "float32" && dtype !== "float64")
    throw failure("train/value", `gradients start from a loss in float32 or float64, not ${dtype}`, {
      hint: "Cast the loss to float32.",
    });
  const one = tensor(dtype, [], [1]);
  const name = e.addWeight(view, e.fresh("loss_gradient"), one);
  made.set(name, { dtype, tensor: one });
  return name;
}

function checkValues(model: Model, loss: string, by: readonly string[]): void {
  const main = viewOf(model).main;
  const unknown = [loss, ...by].filter((v) => !main.definer(v));
  if (unknown.length > 0)
    throw new PareError(
      unknown.map((v) => problem("train/value", `the model has no value ${v}`, { location: { value: v } })),
    );
}

/** All operators that have no gradient come in one error, each with the nodes that need it. */
function checkRules(nodes: readonly Node[]): void {
  const missing = new Map<string, Node[]>();
  for (const n of nodes) {
    const op = operatorOf(n);
    if (!gradients.has(op)) missing.set(op, [...(missing.get(op) ?? []), n]);
  }
  if (missing.size === 0) return;
  throw new PareError(
    [...missing].map(([op, [first, ...rest]]) =>
      problem(
        "train/no-gradient",
        `${op} has no gradient${rest.length > 0 ? ` (nor have ${rest.length} more of it)` : ""}`,
        {
          location: { node: labelOf(first!), op },
          hint: "Freeze the weights before it, or say it in other operators: optimize() inlines functions and branches.",
        },
      ),
    ),
  );
}
