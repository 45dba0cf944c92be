import { type Dim, type Graph, isPareError, type Model, type ValueInfo, type ValueType, viewOf } from "@pare/core";
import { openOnnx } from "@pare/onnx";
import { type AnyValue, evaluateValues } from "@pare/ops/evaluate";
import { inferTypes, substitute } from "@pare/ops/infer";
import { ort } from "@pare/runtime-ort";
import type { BenchCase, BenchContext, Benchmark } from "../benchmark.ts";
import { readNodeTests, recordedRun } from "../node-tests.ts";
import { describe, lessThan, readOnnxTypes } from "../onnx-types.ts";
import { inputsFor, realModels } from "../real-models.ts";

const FIXTURE = new URL("../../fixtures/onnx-shape-inference.json.gz", import.meta.url);

/** A model as it is measured, and the values of a run of it. */
interface Subject {
  readonly name: string;
  readonly model: Model;
  readonly inputs: ReadonlyMap<string, AnyValue>;
  /** What runs gave for values of the main graph. */
  readonly values: Iterable<readonly [string, AnyValue]>;
}

const shapelessType = (type: ValueType): ValueType => {
  switch (type.kind) {
    case "tensor":
      return { kind: "tensor", dtype: type.dtype };
    case "sequence":
    case "optional":
      return { ...type, ...(type.element && { element: shapelessType(type.element) }) };
    default:
      return type;
  }
};
const shapeless = (v: ValueInfo): ValueInfo => (v.type ? { ...v, type: shapelessType(v.type) } : v);

/** The graph without the shapes of what it computes; those of its inputs stay. */
const stripped = (g: Graph): Graph => ({
  ...g,
  outputs: g.outputs.map(shapeless),
  types: new Map([...g.types].map(([name, v]) => [name, shapeless(v)])),
  nodes: g.nodes.map((n) => ({
    ...n,
    attributes: new Map(
      [...n.attributes].map(([name, a]) => [name, a.type === "graph" ? { ...a, value: stripped(a.value) } : a]),
    ),
  })),
});

const isSequence = (v: AnyValue | undefined): v is readonly AnyValue[] => Array.isArray(v);

/** Values that nodes of a graph compute; constants are none. */
const madeIn = (g: Graph): readonly string[] =>
  g.nodes.flatMap((n) => (n.op === "Constant" && n.domain === "" ? [] : n.outputs.filter(Boolean)));

async function* nodeTests(ctx: BenchContext): AsyncGenerator<Subject> {
  for (const test of readNodeTests(ctx)) {
    let model: Model;
    try {
      model = (await openOnnx(test.model)).model;
    } catch (error) {
      // An operator of an old opset that has no successor.
      if (isPareError(error)) continue;
      throw error;
    }
    const { inputs, outputs } = await recordedRun(test);
    yield { name: test.name, model, inputs, values: [...outputs, ...(await evaluated(model, inputs))] };
  }
}

/** Inner values by the evaluator; none where it does not go all the way. */
async function evaluated(model: Model, inputs: ReadonlyMap<string, AnyValue>) {
  try {
    return await evaluateValues(model, inputs, { outputs: madeIn(model.graph) });
  } catch (error) {
    if (isPareError(error)) return [];
    throw error;
  }
}

async function* inEngine(ctx: BenchContext): AsyncGenerator<Subject> {
  for (const { name, file, shapes } of realModels(ctx.data)) {
    const source = await openOnnx(file);
    const inputs = inputsFor(source.model, shapes);
    const session = await ort().prepare(source.model, { taps: madeIn(source.model.graph), signal: ctx.signal });
    const values = Object.entries(await session.run(inputs, { signal: ctx.signal }));
    await session.close();
    yield { name, model: source.model, inputs: new Map(Object.entries(inputs)), values };
    await source.close();
  }
}

const isExact = (type: ValueType | undefined): boolean => {
  if (type?.kind === "sequence" || type?.kind === "optional") return isExact(type.element);
  return type?.kind === "tensor" && type.shape !== undefined && !type.shape.includes(null);
};

/** The numbers that a run's inputs gave the model's symbols. */
function symbolsOf(model: Model, inputs: ReadonlyMap<string, AnyValue>): ReadonlyMap<string, Dim> {
  const symbols = new Map<string, Dim>();
  for (const { name, type } of model.graph.inputs) {
    const given = inputs.get(name);
    if (type?.kind !== "tensor" || !given || isSequence(given)) continue;
    for (const [i, d] of (type.shape ?? []).entries()) if (typeof d === "string") symbols.set(d, given.shape[i]!);
  }
  return symbols;
}

/** Whether a value can be of the inferred type. */
function contradicts(type: ValueType | undefined, value: AnyValue, symbols: ReadonlyMap<string, Dim>): boolean {
  if (!type || value === null) return type?.kind === "tensor" || type?.kind === "sequence";
  if (type.kind === "optional" && type.element) return contradicts(type.element, value, symbols);
  if (isSequence(value)) return type.kind !== "sequence" || value.some((v) => contradicts(type.element, v, symbols));
  if (type.kind !== "tensor" || type.dtype !== value.dtype) return true;
  if (!type.shape) return false;
  const shape = type.shape.map((d) => substitute(d, symbols));
  return shape.length !== value.shape.length || shape.some((d, i) => typeof d === "number" && d !== value.shape[i]);
}

export const inferShapes: Benchmark = {
  name: "infer-shapes",
  about: "shapes inferred in node tests and real models, against runs and onnx.shape_inference",
  async run(ctx) {
    const theirs = readOnnxTypes(FIXTURE);
    const count = { values: 0, exact: 0, checked: 0, contradictions: 0, onnx: 0, onnxInferred: 0 };
    const cases: BenchCase[] = [];
    const seen = new Set<string>();
    const measure = ({ name, model: declared, inputs, values }: Subject) => {
      seen.add(name);
      const note = (value: string, what: string, why: string) => cases.push({ name, value, what, why });
      const model = { ...declared, graph: stripped(declared.graph) };
      const types = inferTypes(model);
      const { main, graphs } = viewOf(model);
      const symbols = symbolsOf(model, inputs);
      for (const view of graphs.filter((v) => !v.path.startsWith("function "))) {
        for (const value of madeIn(view.graph)) {
          count.values++;
          if (isExact(types.of(view, value))) count.exact++;
        }
        for (const [value, said] of Object.entries(theirs[name]?.[view.path] ?? {})) {
          count.onnx++;
          const why = lessThan(said, types.of(view, value));
          if (why === undefined) count.onnxInferred++;
          else note(value, "less than onnx", why);
        }
      }
      for (const [value, got] of values) {
        const type = types.of(main, value);
        count.checked++;
        if (!contradicts(type, got, symbols)) continue;
        count.contradictions++;
        note(value, "contradicted", `${describe(type)}, and a run gave ${given(got)}`);
      }
    };
    for await (const subject of nodeTests(ctx)) measure(subject);
    ctx.progress("real models");
    for await (const subject of inEngine(ctx)) measure(subject);
    for (const [name, graphs] of Object.entries(theirs).filter(([name]) => !ctx.quick && !seen.has(name))) {
      count.onnx += Object.values(graphs).reduce((n, values) => n + Object.keys(values).length, 0);
      cases.push({ name, value: "all", what: "less than onnx", why: "the model is not brought to the IR's opset" });
    }
    const { values, exact, checked, contradictions, onnx, onnxInferred } = count;
    return {
      figures: {
        exactShare: exact / values,
        contradicted: contradictions / checked,
        onnxShare: onnxInferred / onnx,
        ...count,
      },
      cases,
    };
  },
};

const given = (v: AnyValue): string =>
  v === null ? "nothing" : isSequence(v) ? `[${v.map(given).join("; ")}]` : `${v.dtype} [${v.shape}]`;
