import { deriveTensor, type Tensor } from "@pare/core";
import { float32ToFloat16 } from "@pare/ops/numeric";
import { reshaped } from "@pare/ops/weights";
import { tensorTypeOf } from "../format/dtypes.ts";
import {
  operator,
  type TfliteGraph,
  type TfliteModel,
  type TfliteOperator,
  type TfliteTensor,
} from "../format/model.ts";
import type { OptionsOf } from "../format/options.ts";
import type { Arranged, Placed } from "../layout/arrange.ts";
import { storedShape } from "../layout/reorder.ts";
import { int32 } from "./constant.ts";
import type { Val } from "./program.ts";

export interface EmitOptions {
  /** Element type in which large constants of float32, and biases of such filters, are stored. */
  readonly weights: "float32" | "float16";
  readonly description?: string | undefined;
}

/** Fewer elements than these stay float32: halving them saves nothing. */
const MOST_SMALL = 256;

/** An arranged program as a TFLite model, with the names of inputs and outputs in its signature. */
export function emit(arranged: Arranged, options: EmitOptions): TfliteModel {
  const graphs: TfliteGraph[] = [];
  const main = graphs[addGraph(graphs, "main", arranged, options)]!;
  return {
    ...(options.description === undefined ? {} : { description: options.description }),
    graphs,
    signatures: [
      {
        key: "serving_default",
        graph: 0,
        inputs: arranged.inputs.map((p, i) => ({ name: p.value.name, tensor: main.inputs[i]! })),
        outputs: arranged.outputs.map(({ name }, i) => ({ name, tensor: main.outputs[i]! })),
      },
    ],
    metadata: [],
  };
}

/** Options that say which graphs an operator runs. */
const graphOptions: Readonly<Record<string, readonly [string, string]>> = {
  IF: ["then_subgraph_index", "else_subgraph_index"],
  WHILE: ["cond_subgraph_index", "body_subgraph_index"],
};

/** Adds a graph and those that its operators run; gives its index. */
function addGraph(graphs: TfliteGraph[], label: string, arranged: Arranged, options: EmitOptions): number {
  const index = graphs.push({ tensors: [], inputs: [], outputs: [], operators: [] }) - 1;
  const tensors: TfliteTensor[] = [];
  const operators: TfliteOperator[] = [];
  const indices = [new Map<Val, number>(), new Map<Val, number>()] as const;
  const names = new Map<string, number>();
  const nameOf = (base: string): string => {
    const count = names.get(base) ?? 0;
    names.set(base, count + 1);
    return count === 0 ? base : `${base}_${count}`;
  };
  const halves = options.weights === "float16" ? halvedIn(arranged) : new Set();
  const define = (p: Placed, name: string): number => {
    const known = indices[p.last ? 1 : 0].get(p.value);
    if (known !== undefined) return known;
    const { value } = p;
    const shape = storedShape(value, p.last);
    const common = { name: nameOf(name), type: tensorTypeOf(value.dtype)!, shape, has_rank: true };
    let index: number;
    if (value.data && halves.has(value)) {
      const stored = halved(value.data);
      const at = tensors.push({ ...common, name: nameOf(`${name}/float16`), type: "FLOAT16", data: stored }) - 1;
      index = tensors.push(common) - 1;
      operators.push(operator("DEQUANTIZE", [at], [index]));
    } else index = tensors.push({ ...common, ...(value.data ? { data: value.data } : {}) }) - 1;
    indices[p.last ? 1 : 0].set(value, index);
    return index;
  };
  const inputs = arranged.inputs.map((p) => define(p, p.value.name));
  const wanted = new Map(arranged.outputs.map(({ name, placed }) => [placed.value, { name, placed }]));
  for (const s of arranged.steps) {
    const ins = s.inputs.map((p) => (p ? define(p, labelOf(p, s.node?.name)) : -1));
    const outs = s.outputs.map((p, i) => {
      const output = wanted.get(p.value);
      const isOutput = output && output.placed.last === p.last;
      return define(p, isOutput ? output.name : (s.node?.outputs[i] ?? p.value.name) || p.value.name);
    });
    const inner = (s.graphs ?? []).map((g, i): [string, number] => {
      const option = graphOptions[s.code]![i]!;
      return [option, addGraph(graphs, `${s.node?.name || s.code}/${option.split("_")[0]}`, g, options)];
    });
    const all = { ...s.options, ...Object.fromEntries(inner) };
    operators.push(operator(s.code, ins, outs, all as OptionsOf<typeof s.code>));
  }
  const taken = new Set(inputs);
  const outputs = arranged.outputs.map(({ name, placed }) => {
    const index = define(placed, name);
    // What is given must be computed: not an input, a constant or another output.
    if (!taken.has(index) && !placed.value.data) {
      taken.add(index);
      return index;
    }
    const shape = storedShape(placed.value, placed.last);
    const type = tensorTypeOf(placed.value.dtype)!;
    let from = index;
    if (placed.value.data) {
      // LiteRT reshapes constants before it knows where the output of the model is to be, and fails then; it cuts them later.
      const whole = shape.length > 0 ? shape : [1];
      if (shape.length === 0)
        from =
          tensors.push({
            name: nameOf(`${name}/constant`),
            type,
            shape: whole,
            has_rank: true,
            data: reshaped(placed.value.data, whole),
          }) - 1;
      const start =
        tensors.push(
          int32(
            `${name}/start`,
            whole.map(() => 0),
          ),
        ) - 1;
      const size = tensors.push(int32(`${name}/size`, whole)) - 1;
      const cut = tensors.push({ name: nameOf(name), type, shape: whole, has_rank: true }) - 1;
      operators.push(operator("SLICE", [from, start, size], [cut]));
      if (shape.length > 0) return cut;
      from = cut;
    }
    const copy = tensors.push({ name: nameOf(name), type, shape, has_rank: true }) - 1;
    const to = tensors.push(int32(`${name}/shape`, shape)) - 1;
    operators.push(operator("RESHAPE", [from, to], [copy], { new_shape: shape }));
    return copy;
  });
  graphs[index] = { name: label, tensors, inputs, outputs, operators };
  return index;
}

const labelOf = (p: Placed, node: string | undefined) =>
  p.value.data ? `${node || "constant"}/${p.value.name}` : p.value.name;

const isLarge = ({ data: t }: Val) => t?.dtype === "float32" && t.byteLength >= 4 * MOST_SMALL;

/** Operators with a bias, after the filter. XNNPACK decodes filters once, when it is loaded, only where biases are decoded too. */
const biased: ReadonlySet<string> = new Set(["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"]);

/** Constants that are stored in half the bytes: large ones, and biases of those. */
function halvedIn({ steps }: Arranged): ReadonlySet<Val> {
  const found = new Set<Val>();
  for (const { code, inputs } of steps) {
    for (const p of inputs) if (p && isLarge(p.value)) found.add(p.value);
    const [filter, bias] = [inputs[1]?.value, inputs[2]?.value];
    if (biased.has(code) && filter && isLarge(filter) && bias?.data) found.add(bias);
  }
  return found;
}

const halved = (t: Tensor): Tensor =>
  deriveTensor(t as Tensor<"float32">, { key: "float16@1", dtype: "float16", map: float32ToFloat16 });
