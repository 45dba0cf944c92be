import {
  type Diagnostic,
  type DType,
  type Edit,
  edit,
  type GraphView,
  IR_OPSET,
  isFloat,
  type Model,
  type Node,
  node,
  tensor,
  viewOf,
} from "@pare/core";
import { dtypeOf } from "@pare/ops/dtype-codes";
import { nodeContext } from "@pare/ops/lower";
import type { AdaptContext } from "./adapt.ts";
import { adapters } from "./adapters.ts";
import { earlyAdapters } from "./adapters-early.ts";
import { kept } from "./attributes.ts";
import { fail } from "./codes.ts";
import { rankOf } from "./rank.ts";
import { scanByBatch } from "./scan-by-batch.ts";

/**
 * Brings a model to the IR's opset: operators whose meaning changed since the model's are said in today's words. Weights
 * stay where they are. The same object when there is nothing to do.
 * @throws PareError `onnx/no-adapter` naming the node that cannot be converted, `onnx/adapter` for one that does not have
 * the form its opset says, `onnx/opset` for an opset from the future or a model that names none
 */
export function upgrade(
  model: Model,
  options: { readonly file?: string; readonly onDiagnostic?: (d: Diagnostic) => void } = {},
): Model {
  const file = options.file === undefined ? {} : { file: options.file };
  const versions = [model.opsets, ...model.functions.map((f) => f.opsets)].map((o) => o.get("") ?? IR_OPSET);
  const newest = Math.max(...versions);
  if (newest > IR_OPSET)
    throw fail("onnx/opset", `the model uses opset ${newest}; the newest known here is ${IR_OPSET}`, {
      location: file,
      hint: "Export it at an older opset, or open it with upgrade: false.",
    });
  if (!model.opsets.has("") && usesStandard(model))
    throw fail("onnx/opset", "the model does not say which version of the standard operators it uses", {
      location: file,
      hint: "Add an opset_import for the domain ''.",
    });
  if (versions.every((v) => v === IR_OPSET)) return model;
  if (kept(model.extra)["training_info"])
    options.onDiagnostic?.({
      code: "onnx/training-info",
      severity: "warning",
      message: "the training graphs in the model are of another opset and are left out",
      location: file,
    });
  const current = (opsets: ReadonlyMap<string, number>) =>
    opsets.has("") ? new Map([...opsets, ["", IR_OPSET]]) : opsets;
  const upgraded = edit(model, (e) => {
    const onlyFloat32 = !usesOtherFloats(e.view.graphs);
    for (const view of e.view.graphs) {
      const root = rootOf(view);
      const opsets = root === e.view.main ? model.opsets : model.functions.find((f) => f.body === root.graph)!.opsets;
      const from = opsets.get("");
      if (from !== undefined && from < IR_OPSET) upgradeGraph(e, view, from, onlyFloat32, file);
    }
    e.setModel({
      opsets: current(model.opsets),
      functions: model.functions.map((f) => ({ ...f, opsets: current(f.opsets) })),
      ...(model.extra ? { extra: withoutTraining(model.extra) } : {}),
    });
  });
  if (versions.every((v) => v > 8)) return upgraded;
  const bodies = [upgraded.graph, ...upgraded.functions.map((f) => f.body)];
  const old = new Set(bodies.filter((_, i) => versions[i]! <= 8));
  return scanByBatch(upgraded, (root) => old.has(root), file);
}

/** Whether an operator of the standard domain stands outside of functions, which have versions of their own. */
const usesStandard = (model: Model): boolean =>
  viewOf(model).graphs.some(
    (view) => rootOf(view) === viewOf(model).main && view.graph.nodes.some((n) => n.domain === ""),
  );

function withoutTraining(extra: Model["extra"] & object): Model["extra"] & object {
  const { training_info, ...onnx } = (extra["onnx"] ?? {}) as Readonly<Record<string, unknown>>;
  return { ...extra, onnx };
}

const rootOf = (view: GraphView): GraphView => (view.parent ? rootOf(view.parent) : view);

function upgradeGraph(e: Edit, view: GraphView, from: number, onlyFloat32: boolean, file: { file?: string }): void {
  for (const n of view.graph.nodes) {
    if (n.domain !== "" || !nextAdapter(n.op, from)) continue;
    const before: Node[] = [];
    const ctx = contextOf(e, view, n, before, onlyFloat32, file);
    const after = adapt(n, from, ctx);
    if (after.length !== 1 || after[0] !== n || before.length > 0) e.replace(n, [...before, ...after]);
  }
}

/** The first adapter of an operator after a version. */
const nextAdapter = (op: string, from: number) =>
  earlyAdapters.get(op)?.find(([version]) => version > from) ?? adapters.get(op)?.find(([version]) => version > from);

/** Applies one version after the other; what an adapter gives is of the version it stands for. */
function adapt(n: Node, from: number, ctx: AdaptContext): readonly Node[] {
  const next = n.domain === "" ? nextAdapter(n.op, from) : undefined;
  if (!next) return [n];
  const made = next[1](n, ctx);
  return (Array.isArray(made) ? (made as readonly Node[]) : [made as Node]).flatMap((m) => adapt(m, next[0], ctx));
}

function contextOf(
  e: Edit,
  view: GraphView,
  n: Node,
  before: Node[],
  onlyFloat32: boolean,
  file: { file?: string },
): AdaptContext {
  const context = nodeContext(e, view, n, before, file);
  const dtype = (value: string): DType | undefined => {
    const home = view.definer(value);
    const type = home?.info(value)?.type;
    return type?.kind === "tensor" ? type.dtype : home?.constant(value)?.dtype;
  };
  return {
    ...context,
    rank: (value) => rankOf(view, value),
    dtype,
    scalarLike(base, like, value) {
      const known = dtype(like) ?? (onlyFloat32 ? "float32" : undefined);
      if (known === "float32" || known === "float64")
        return { name: context.constant(base, tensor(known, [], [value])), nodes: [] };
      const wide = context.constant(`${base}_float32`, tensor("float32", [], [value]));
      const name = e.fresh(base);
      return { name, nodes: [node("CastLike", [wide, like], [name])] };
    },
  };
}

/** Whether anything in the model is a float of another width than 32 bits. */
function usesOtherFloats(views: readonly GraphView[]): boolean {
  const other = (d: DType) => isFloat(d) && d !== "float32";
  return views.some(
    ({ graph: g }) =>
      [...g.weights.values()].some((t) => other(t.dtype)) ||
      [...g.inputs, ...g.outputs, ...g.types.values()].some((v) => v.type?.kind === "tensor" && other(v.type.dtype)) ||
      g.nodes.some((n) =>
        [...n.attributes].some(
          ([key, a]) =>
            (a.type === "tensor" && other(a.value.dtype)) ||
            (a.type === "int" && (key === "to" || key === "dtype") && other(dtypeOf(Number(a.value)) ?? "float32")),
        ),
      ),
  );
}
