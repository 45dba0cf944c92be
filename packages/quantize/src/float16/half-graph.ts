import {
  type Attribute,
  attr,
  attribute,
  type Edit,
  edit,
  type GraphView,
  type Model,
  type Node,
  node,
  type PassContext,
  type Tensor,
  tensor,
  viewOf,
  type Weight,
} from "@pare/core";
import { codeOf } from "@pare/ops/dtype-codes";
import { inferTypes } from "@pare/ops/infer";
import { float32ToFloat16 } from "@pare/ops/numeric";
import type { Scope } from "@pare/ops/weights";
import { toHalf } from "./half.ts";
import { type HalfPlan, type Precision, planHalf } from "./half-plan.ts";

/** Constants up to this many bytes are kept in both formats where both are read; larger ones are converted back. */
const KEEP_BOTH = 1024;

/** Makes everything float16 that the plan lets, with a Cast wherever a value is needed in the other format. */
export async function convertGraph(
  model: Model,
  options: Scope & { readonly io: Precision },
  ctx: PassContext,
): Promise<Model> {
  const types = inferTypes(model);
  const plan = await planHalf(model, types, options, ctx);
  if (plan.converted.size === 0) return model;
  return edit(model, (e) => {
    const names = namesOf(e, plan, options.io);
    for (const view of viewOf(model).graphs) {
      if (!plan.graphs.has(view)) continue;
      for (const n of view.graph.nodes) {
        const changed = convertNode(n, view, plan, names);
        if (changed !== n) e.replace(n, [changed]);
      }
    }
    for (const weight of names.finish()) ctx.done(weight);
    for (const view of plan.graphs) {
      for (const [name, info] of view.graph.types) {
        const { type } = info;
        if (type?.kind === "tensor" && type.dtype === "float32" && names.publicFormat(view, name) === "float16")
          e.setType(view, { ...info, type: { ...type, dtype: "float16" } });
      }
    }
    if (options.io === "float16") {
      const { main } = e.view;
      const half = (infos: typeof main.graph.inputs) =>
        infos.map((v) =>
          v.type?.kind === "tensor" && v.type.dtype === "float32" && !main.graph.weights.has(v.name)
            ? { ...v, type: { ...v.type, dtype: "float16" as const } }
            : v,
        );
      e.setGraph(main, { inputs: half(main.graph.inputs), outputs: half(main.graph.outputs) });
    }
  });
}

function convertNode(n: Node, view: GraphView, plan: HalfPlan, names: Names): Node {
  const halves = plan.converted.get(n);
  const inputs = n.inputs.map((v, i) => names.read(view, v, halves?.inputs.has(i) ? "float16" : "float32"));
  const outputs = n.outputs.map((v) => names.write(view, v));
  const same = inputs.every((v, i) => v === n.inputs[i]) && outputs.every((v, i) => v === n.outputs[i]);
  const attributes = halves && halves.outputs.size > 0 ? halfAttributes(n) : n.attributes;
  return same && attributes === n.attributes ? n : { ...n, inputs, outputs, attributes };
}

/** Attributes by which a node says that its output is float32. */
function halfAttributes(n: Node): ReadonlyMap<string, Attribute> {
  if (n.op === "Cast") return new Map(n.attributes).set("to", attr.int(codeOf("float16")));
  if (n.op === "ConstantOfShape") {
    const filled = attribute(n, "value", "tensor") as Tensor<"float32"> | undefined;
    const bits = float32ToFloat16(new Float32Array(filled?.bytes?.slice().buffer ?? [0]));
    return new Map(n.attributes).set("value", attr.tensor(tensor("float16", [1], bits)));
  }
  return n.attributes;
}

interface Names {
  /** The name under which a value is read in a format; asks for a Cast where it is not written in it. */
  read(view: GraphView, name: string, format: Precision): string;
  /** The name under which its producer writes a value. */
  write(view: GraphView, name: string): string;
  /** The format that a value has under its own name. */
  publicFormat(view: GraphView, name: string): Precision | undefined;
  /** Adds the constants and Casts that were asked for; gives the constants that became float16. */
  finish(): readonly Weight[];
}

/**
 * A float value has a format in which it is made and one that its name stands for: that of the graph's interface for
 * inputs and outputs, the one it is made in otherwise. Under another name it exists in the other format where read so.
 */
function namesOf(e: Edit, plan: HalfPlan, io: Precision): Names {
  const others = new Map<GraphView, Map<string, string>>();
  const casts: { view: GraphView; from: string; to: string; format: Precision }[] = [];
  const constants = new Map<GraphView, Set<string>>();

  const made = (view: GraphView, name: string): Precision | undefined => {
    if (!plan.isFloat32(view, name)) return undefined;
    if (plan.half.get(view)?.has(name)) return "float16";
    return view.graph.inputs.some((v) => v.name === name) &&
      !view.parent &&
      io === "float16" &&
      !view.graph.weights.has(name)
      ? "float16"
      : "float32";
  };
  const isInterface = (view: GraphView, name: string) =>
    view.isOutput(name) || view.graph.inputs.some((v) => v.name === name);
  const publicFormat = (view: GraphView, name: string): Precision | undefined => {
    const format = made(view, name);
    if (format === undefined || !isInterface(view, name) || view.graph.weights.has(name)) return format;
    return view.parent ? "float32" : io;
  };
  const otherName = (view: GraphView, name: string, format: Precision): string => {
    const map = others.get(view) ?? new Map<string, string>();
    others.set(view, map);
    let other = map.get(name);
    if (other === undefined) {
      other = e.fresh(`${name}_${format}`);
      map.set(name, other);
      if (plan.constants.get(view)?.has(name)) constants.set(view, (constants.get(view) ?? new Set()).add(name));
      // The Cast goes from where the value is made to the name that it lacks.
      else if (made(view, name) === format)
        casts.push({ view, from: other, to: name, format: publicFormat(view, name)! });
      else casts.push({ view, from: name, to: other, format });
    }
    return other;
  };
  const kept = new Map<GraphView, Set<string>>();

  const names: Names = {
    publicFormat,
    read(view, name, format) {
      if (name === "") return name;
      const definer = view.definer(name);
      if (!definer || !plan.isFloat32(definer, name)) return name;
      if (plan.constants.get(definer)?.has(name)) {
        if (format === "float16") return otherName(definer, name, format);
        kept.set(definer, (kept.get(definer) ?? new Set()).add(name));
        return name;
      }
      return publicFormat(definer, name) === format ? name : otherName(definer, name, format);
    },
    write(view, name) {
      const format = made(view, name);
      if (name === "" || format === undefined || plan.constants.get(view)?.has(name)) return name;
      return publicFormat(view, name) === format ? name : otherName(view, name, format);
    },
    finish() {
      const converted: Weight[] = [];
      for (const [view, list] of constants)
        for (const name of list) {
          const weight = plan.constants.get(view)!.get(name)!;
          converted.push(weight);
          const half = others.get(view)!.get(name)!;
          e.addWeight(view, half, toHalf(weight.tensor as Tensor<"float32">));
          const both = kept.get(view)?.has(name) ?? false;
          if (both && weight.tensor.byteLength <= KEEP_BOTH) continue;
          const back = both ? [cast(half, name, "float32")] : [];
          if (weight.node) e.replace(weight.node, back);
          else {
            e.removeWeight(view, name);
            e.insert(view, back);
          }
        }
      for (const { view, from, to, format } of casts) e.insert(view, [cast(from, to, format)]);
      return converted;
    },
  };
  return names;
}

const cast = (from: string, to: string, format: Precision): Node =>
  node("Cast", [from], [to], { to: attr.int(codeOf(format)) }, { name: `${to}_Cast` });
