import {
  byteLengthOf,
  constantNodeValue,
  type Diagnostic,
  type Dim,
  elementCount,
  type GraphView,
  isPareError,
  type Model,
  type Node,
  operatorOf,
  placeOf,
  problem,
  type ResidentTensor,
  subgraphsOf,
  type Tensor,
  viewOf,
} from "@pare/core";
import { evaluateNode } from "@pare/ops/evaluate";
import { inferTypes, type Types } from "@pare/ops/infer";
import { decomposable, decompose } from "@pare/ops/lower";
import { isInteger, tensorOf } from "@pare/ops/numeric";
import { tensorTypeOf } from "../format/dtypes.ts";
import { widened } from "./constant.ts";
import { Context, Refusal, type Sink } from "./context.ts";
import { unfold } from "./control.ts";
import type { Program, Val } from "./program.ts";
import { lowerings } from "./table.ts";

export interface LowerOptions {
  /** Shapes of inputs in the place of those that the model declares. */
  readonly shapes?: Readonly<Record<string, readonly number[]>> | undefined;
  /** Whether the size of the batch is one of several that the result is for. */
  readonly openBatch?: boolean;
}

/**
 * The shapes of inputs whose first dimension alone is open, with a batch of this size there; undefined where no input is open,
 * or one is in another dimension too.
 */
export function batchShapes(model: Model, { shapes = {} }: LowerOptions, batch: number): LowerOptions["shapes"] {
  const open: Record<string, readonly number[]> = {};
  for (const { name, type } of model.graph.inputs) {
    if (type?.kind !== "tensor" || shapes[name] || model.graph.weights.has(name)) continue;
    const [first, ...rest] = type.shape ?? [null, null];
    if (!rest.every((d) => typeof d === "number")) return undefined;
    if (first !== undefined && typeof first !== "number") open[name] = [batch, ...(rest as number[])];
  }
  return Object.keys(open).length > 0 ? { ...shapes, ...open } : undefined;
}

export interface Lowered {
  readonly program: Program;
  readonly sink: Sink;
  readonly problems: readonly Diagnostic[];
}

/** Most bytes of a result that is computed while lowering. */
const MOST_BYTES = 1 << 22;

const unfoldable = /^(Random|Bernoulli|Multinomial|Dropout)/;

/**
 * A model as steps of builtin operators. What cannot be expressed is in `problems`, all at once; the program is whole only
 * where there are none.
 */
export function programOf(source: Model, options: LowerOptions = {}): Lowered {
  const given = new Map(Object.entries(options.shapes ?? {}));
  const model = decompose(withShapes(source, given), {
    wanted: (n) => !lowerings.has(n.op) && decomposable.has(n.op),
  });
  const types = inferTypes(model, { inputs: given });
  const view = viewOf(model).main;
  const problems: Diagnostic[] = [];
  const steps: Program["steps"][number][] = [];
  let count = 0;
  const sink: Sink = {
    steps,
    openBatch: options.openBatch ?? false,
    fresh: (shape, dtype, data) => ({ id: count++, name: `v${count}`, shape, dtype, data }),
  };
  const inputs: Val[] = [];
  const values = new Map<string, Val>();
  for (const { name } of model.graph.inputs) {
    const weight = model.graph.weights.get(name);
    const type = types.of(view, name);
    const shape = type?.kind === "tensor" ? type.shape : undefined;
    if (type?.kind !== "tensor" || !tensorTypeOf(type.dtype) || type.dtype === "string")
      problems.push(
        problem("tflite/input", `the input ${name} is of a type that LiteRT does not know`, {
          location: { value: name },
        }),
      );
    else if (!shape?.every((d) => typeof d === "number"))
      problems.push(
        problem("tflite/open-shape", `the input ${name} has the shape [${shape?.map((d) => d ?? "?") ?? "?"}]`, {
          location: { value: name },
          hint: `Give its shape: shapes: { ${JSON.stringify(name)}: [1, 3, 224, 224] }.`,
        }),
      );
    else {
      if (weight) continue;
      const value: Val = { ...sink.fresh(shape as readonly number[], type.dtype), name };
      values.set(name, shape.includes(0) ? emptyOf(sink, value) : value);
      inputs.push(value);
    }
  }
  if (problems.length === 0) lowerGraph(view, values, { sink, types, problems });
  const outputs =
    problems.length > 0 ? [] : model.graph.outputs.map(({ name }) => ({ name, value: values.get(name)! }));
  return { program: { inputs, outputs, steps }, sink, problems };
}

/** The model with these shapes of inputs, which all that is inferred from it sees. */
const withShapes = (m: Model, shapes: ReadonlyMap<string, readonly number[]>): Model => {
  if (shapes.size === 0) return m;
  const inputs = m.graph.inputs.map((v) => {
    const shape = shapes.get(v.name);
    return shape && v.type?.kind === "tensor" ? { ...v, type: { ...v.type, shape } } : v;
  });
  return { ...m, graph: { ...m.graph, inputs } };
};

export interface Surroundings {
  readonly sink: Sink;
  readonly types: Types;
  readonly problems: Diagnostic[];
}

/** Lowers the nodes of a graph into `values`; false where something is refused, which is in `problems` then. */
export function lowerGraph(view: GraphView, values: Map<string, Val>, around: Surroundings): boolean {
  const { sink, types, problems } = around;
  const before = problems.length;
  /** Values of nodes that were refused: what reads them is not judged. */
  const unknown = new Set<string>();
  const find = (name: string): Val | undefined => {
    if (name === "") return undefined;
    const known = values.get(name);
    if (known) return known;
    const constant = view.constant(name) ?? knownInts(view, name, types) ?? weightOf(view, name);
    if (!constant) return undefined;
    const wide = widened(constant);
    const value = sink.fresh(wide.shape, wide.dtype, wide);
    values.set(name, value);
    return value;
  };
  for (const n of view.graph.nodes) {
    if (constantNodeValue(n)) continue;
    if (n.outputs.every((v) => v === "")) continue;
    const inputs = n.inputs.map(find);
    if (n.inputs.some((v) => unknown.has(v))) {
      for (const v of n.outputs) unknown.add(v);
      continue;
    }
    const folded = foldedBy(n, inputs);
    if (folded) {
      n.outputs.forEach((v, i) => {
        const t = folded[i];
        if (v && t) values.set(v, sink.fresh(t.shape, t.dtype, t));
      });
      continue;
    }
    if (n.outputs.every((v) => v === "" || knownInts(view, v, types))) {
      for (const v of n.outputs) find(v);
      continue;
    }
    const empty = n.outputs.map((v) => emptyAt(view, v, types));
    if (n.outputs.every((v, i) => v === "" || empty[i])) {
      n.outputs.forEach((v, i) => {
        if (empty[i]) values.set(v, sink.fresh(empty[i].shape, empty[i].dtype, empty[i]));
      });
      continue;
    }
    const mark = sink.steps.length;
    const known = problems.length;
    const context = new Context(n, inputs, sink, (i) => shapeOf(view, n.outputs[i] ?? "", types));
    try {
      const lowering = n.domain === "" ? lowerings.get(n.op) : undefined;
      const isControl = subgraphsOf(n).next().done !== true;
      if (!lowering && !isControl)
        throw new Refusal(`there is no lowering of ${operatorOf(n)}`, "Compute it outside of the model.");
      n.inputs.forEach((v, i) => {
        if (v !== "" && !inputs[i] && !isControl) throw new Refusal(`${v} is no tensor whose shape is known`);
      });
      for (const v of inputs) if (v && !tensorTypeOf(v.dtype)) throw new Refusal(`LiteRT does not know ${v.dtype}`);
      if (lowering) lowering(context);
      else unfold(context, view, values, around);
      n.outputs.forEach((v, i) => {
        if (!v) return;
        const result = context.results[i];
        if (!result) throw new Refusal(`its output ${i} is not lowered`, "Leave the output out.");
        values.set(v, result);
      });
    } catch (error) {
      if (!(error instanceof Refusal) && !isPareError(error)) throw error;
      sink.steps.length = mark;
      for (const v of n.outputs) unknown.add(v);
      // What is wrong inside of a graph that it holds was said there.
      if (problems.length > known) continue;
      const reason = error instanceof Refusal ? error.message : error.diagnostics[0]!.message;
      const hint = error instanceof Refusal ? error.hint : error.diagnostics[0]!.hint;
      problems.push(
        problem("tflite/refused", `${operatorOf(n)}: ${reason}`, { location: placeOf(n), ...(hint ? { hint } : {}) }),
      );
    }
  }
  for (const { name } of view.graph.outputs) {
    if (problems.length > before) break;
    const value = find(name);
    if (value) values.set(name, value);
    else problems.push(problem("tflite/refused", `nothing computes ${name}`, { location: { value: name } }));
  }
  return problems.length === before;
}

/** Defaults of inputs are constants: a caller of the file cannot leave an input out. */
const weightOf = (view: GraphView, name: string): Tensor | undefined => view.definer(name)?.graph.weights.get(name);

function shapeOf(view: GraphView, name: string, types: Types): readonly number[] | undefined {
  const type = name === "" ? undefined : types.of(view, name);
  const shape: readonly Dim[] | undefined = type?.kind === "tensor" ? type.shape : undefined;
  return shape?.every((d) => typeof d === "number") ? (shape as readonly number[]) : undefined;
}

/** A value without elements, whatever is said of it, is a constant. */
function emptyAt(view: GraphView, name: string, types: Types): Tensor | undefined {
  const shape = shapeOf(view, name, types);
  const type = types.of(view, name);
  return shape?.includes(0) && type?.kind === "tensor" ? tensorOf(type.dtype, shape, []) : undefined;
}

const emptyOf = (sink: Sink, { shape, dtype }: Val): Val => sink.fresh(shape, dtype, tensorOf(dtype, shape, []));

/** Integers that follow from shapes. */
function knownInts(view: GraphView, name: string, types: Types): Tensor | undefined {
  const ints = types.constantInts(view, name);
  const type = types.of(view, name);
  const shape = shapeOf(view, name, types);
  if (!ints?.every((d) => typeof d === "number") || !shape || type?.kind !== "tensor") return undefined;
  if (!isInteger(type.dtype) && type.dtype !== "bool") return undefined;
  return tensorOf(type.dtype, shape, ints as readonly number[]);
}

/** What a node gives whose inputs are all constants in memory. */
function foldedBy(n: Node, inputs: readonly (Val | undefined)[]): readonly (ResidentTensor | undefined)[] | undefined {
  if (n.domain !== "" || unfoldable.test(n.op) || subgraphsOf(n).next().done !== true) return undefined;
  if (n.inputs.some((v, i) => v !== "" && !inputs[i]?.data?.bytes)) return undefined;
  const size = inputs.reduce((sum, v) => sum + (v ? byteLengthOf(v.dtype, elementCount(v.shape)) : 0), 0);
  if (size > MOST_BYTES) return undefined;
  try {
    const results = evaluateNode(
      n,
      inputs.map((v) => v?.data as ResidentTensor | undefined),
    );
    const isKnown = results?.every((t) => !t || t.bytes.length <= 4 * MOST_BYTES);
    return isKnown ? results : undefined;
  } catch {
    return undefined;
  }
}
