import { type Diagnostic, PareError, problem } from "@pare/core";
import type { Code } from "./codes.ts";
import { bytesOfShape } from "./dtypes.ts";
import { graphsOf } from "./graph-fields.ts";
import type { TfliteGraph, TfliteModel, TfliteTensor } from "./model.ts";

/** Everything that keeps a model from being one: indices that point at nothing, shapes that are none, data of another size. */
export function checkModel(model: TfliteModel): Diagnostic[] {
  const problems: Diagnostic[] = [];
  const report = (code: Code, message: string, location: Diagnostic["location"]) =>
    problems.push(problem(code, message, location ? { location } : {}));
  const isGraph = (index: number) => isCount(index) && index < model.graphs.length;
  if (model.graphs.length === 0) report("tflite/index", "the model has no graph", {});
  model.graphs.forEach((g, at) => {
    const graph = graphName(g, at);
    const index = (i: number, what: string, node?: string) => {
      if (!isCount(i) || i >= g.tensors.length)
        report("tflite/index", `${what} is tensor ${i} of ${g.tensors.length}`, { graph, ...(node ? { node } : {}) });
    };
    for (const [n, i] of g.inputs.entries()) index(i, `input ${n}`);
    for (const [n, i] of g.outputs.entries()) index(i, `output ${n}`);
    for (const t of g.tensors) {
      for (const [code, message] of problemsOfTensor(t)) report(code, message, { graph, value: t.name });
      const details = t.quantization?.details;
      if (details && details.type !== "CustomQuantization") {
        index(details.value.scales ?? 0, `the scales of ${t.name}`);
        if ((details.value.zero_points ?? 0) >= 0)
          index(details.value.zero_points ?? 0, `the zero points of ${t.name}`);
      }
    }
    g.operators.forEach((op, n) => {
      const node = `operator ${n}, ${op.code.custom ?? op.code.builtin}`;
      for (const i of op.inputs) if (i !== -1) index(i, "an input", node);
      for (const i of op.outputs) if (i !== -1) index(i, "an output", node);
      for (const i of op.intermediates ?? []) index(i, "an intermediate", node);
      for (const i of graphsOf(op))
        if (!isGraph(i)) report("tflite/index", `it names graph ${i} of ${model.graphs.length}`, { graph, node });
    });
  });
  for (const { key, graph, inputs, outputs } of model.signatures) {
    const tensors = model.graphs[graph]?.tensors;
    if (!tensors) report("tflite/index", `signature ${key} is of graph ${graph} of ${model.graphs.length}`, {});
    for (const { name, tensor } of [...inputs, ...outputs])
      if (tensors && (!isCount(tensor) || tensor >= tensors.length))
        report("tflite/index", `${name} of signature ${key} is tensor ${tensor} of ${tensors.length}`, {});
  }
  return problems;
}

/** Throws when there are problems; `file` is added to where they are. */
export function ensureModel(model: TfliteModel, file?: string): void {
  const problems = checkModel(model);
  if (problems.length === 0) return;
  throw new PareError(
    file === undefined ? problems : problems.map((d) => ({ ...d, location: { file, ...d.location } })),
  );
}

const isCount = (n: number): boolean => Number.isSafeInteger(n) && n >= 0;

/** What errors call a graph. */
export const graphName = (g: TfliteGraph, index: number): string => (g.name ? `${index} ${g.name}` : String(index));

function* problemsOfTensor(t: TfliteTensor): Generator<readonly [Code, string]> {
  const dims = `${t.type}[${t.shape.join(", ")}]`;
  if (!t.shape.every(isCount)) yield ["tflite/shape", `${dims} is no shape`];
  else if (t.data && !t.sparsity) {
    const wanted = bytesOfShape(t.type, t.shape);
    if (wanted !== undefined && wanted !== t.data.byteLength)
      yield ["tflite/buffer", `its data has ${t.data.byteLength} bytes, but ${dims} takes ${wanted}`];
  }
}
